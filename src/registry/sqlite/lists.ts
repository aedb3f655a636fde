import { setImmediate as turn } from 'node:timers/promises'
import type { Registration, Wanted } from '../../core/registry.ts'
import { topicToBytes } from '../../core/topic.ts'
import { packer, PIECE, unpacked, unpacker } from './pack.ts'
import { registrationOf } from './rows.ts'

type Part = Uint8Array<ArrayBuffer>

/** Packs a list, some in each turn; a list of one piece at once. */
export function packWanted(wanted: readonly Wanted[]): Part[] | Promise<Part[]> {
  if (wanted.length <= PIECE) return wanted.length === 0 ? [] : [pack(wanted)]
  return packLong(wanted)
}

async function packLong(wanted: readonly Wanted[]): Promise<Part[]> {
  const parts: Part[] = []
  for (let i = 0; i < wanted.length; i += PIECE) {
    if (i > 0) await turn()
    parts.push(pack(wanted.slice(i, i + PIECE)))
  }
  return parts
}

function pack(wanted: readonly Wanted[]): Part {
  const rows = packer()
  for (const { kind, target, recovery } of wanted) rows.put({ id: 0, kind, target: topicToBytes(target), url: '', recovery })
  return rows.take()
}

/** Unpacks a list, one part in each turn. */
export async function unpackList(parts: readonly Part[]): Promise<Registration[]> {
  const all: Registration[] = []
  const read = unpacker()
  for (const [i, part] of parts.entries()) {
    if (i > 0) await turn()
    for (const row of unpacked(part, read)) all.push(registrationOf(row))
  }
  return all
}
