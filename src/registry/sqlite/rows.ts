import type { SQLOutputValue } from 'node:sqlite'
import type { Registration } from '../../core/registry.ts'
import { topicFromBytes } from '../../core/topic.ts'
import type { PackedRow } from './pack.ts'

export type Row = Record<string, SQLOutputValue>

export const REGISTRATION_COLUMNS = 's.id, s.kind, s.target, s.url, s.recovery'

/** @param row with the columns above; without an id, there is no such registration */
export function packedFields(row: Row): Omit<PackedRow, 'end'> {
  if (row['id'] === null) return { id: 0, kind: undefined, target: Buffer.alloc(0), url: '', recovery: undefined }
  return {
    id: Number(row['id']),
    kind: row['kind'] === 'glob' ? 'glob' : 'exact',
    target: row['target'] as Uint8Array,
    url: String(row['url']),
    recovery: row['recovery'] === null ? undefined : String(row['recovery']),
  }
}

export function registrationOf({ id, kind, target, url, recovery }: Omit<PackedRow, 'end'>): Registration {
  return { id, kind: kind ?? 'exact', target: topicFromBytes(target), url, recovery }
}
