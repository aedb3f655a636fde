import type { Registration } from '../../core/registry.ts'
import { topicFromBytes } from '../../core/topic.ts'
import type { PackedRow } from '../sqlite/pack.ts'
import { bytesOf, type Row } from './statements.ts'

/** The columns of a registration, in the order in which rows are read. */
export const REGISTRATION = 'id, kind, target, url, recovery'

export function registrationOf([id, kind, target, url, recovery]: Row): Registration {
  return { id: Number(id), kind: kind === 'glob' ? 'glob' : 'exact', target: topicFromBytes(bytesOf(target)), url: String(url), recovery: textOf(recovery) }
}

/** @param row a registration, all null where there is none, and the number that was asked for */
export function packedRow([id, kind, target, url, recovery, asked]: Row): Omit<PackedRow, 'end'> {
  if (id === null) return { id: Number(asked), kind: undefined, target: Buffer.alloc(0), url: '', recovery: undefined }
  return { id: Number(id), kind: kind === 'glob' ? 'glob' : 'exact', target: bytesOf(target), url: String(url), recovery: textOf(recovery) }
}

export function textOf(value: unknown): string | undefined {
  return value === null || value === undefined ? undefined : String(value)
}
