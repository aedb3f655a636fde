import { setImmediate as turn } from 'node:timers/promises'
import type { Registration, Wanted } from '../../core/registry.ts'
import { topicToBytes } from '../../core/topic.ts'
import type { Lane } from './lane.ts'
import { hexOf, PIECE, PIECE_BYTES } from './statements.ts'
import type { Subscriptions } from './subscriptions.ts'

/** What a url has, page by page: each sees all that was answered before it was asked for. */
export async function listOf(lane: Lane, calls: Subscriptions, url: string): Promise<Registration[]> {
  const all: Registration[] = []
  for (let isLast = false; !isLast;) {
    const page = await lane.perform(calls.page(all.at(-1)?.id ?? Number.MIN_SAFE_INTEGER, url))
    for (const one of page.registrations) all.push(one)
    isLast = page.isLast
  }
  return all
}

/**
 * Makes what a url has equal to what is wanted. Where neither is more than a piece, that is one transaction; else all that
 * is wanted is put in piece by piece, and then what else was there at the beginning is taken away, page by page. A piece
 * may be done twice.
 */
export async function setTo(lane: Lane, calls: Subscriptions, url: string, wanted: readonly Wanted[], now: number): Promise<void> {
  const pieces = await piecesOf(wanted)
  if (pieces.length <= 1) {
    const isDone = await lane.perform(calls.setSmall(url, pieces[0] ?? '[]', now))
    if (isDone) return
  }
  const newest = await lane.perform(calls.newest(url))
  for (const piece of pieces) await lane.perform(calls.put(url, piece, now))
  const stays = new Set(wanted.map(keyOf))
  for (let [after, isLast] = [Number.MIN_SAFE_INTEGER, false]; !isLast;) {
    const page = await lane.perform(calls.page(after, url))
    const gone = page.registrations.filter((one) => one.id <= newest && !stays.has(keyOf(one)))
    if (gone.length > 0) await lane.perform(calls.removeAll(url, gone.map((one) => one.id)))
    after = page.registrations.at(-1)?.id ?? after
    isLast = page.isLast || after >= newest
  }
}

/** As JSON, of repetitions the last; some in each turn. */
async function piecesOf(wanted: readonly Wanted[]): Promise<string[]> {
  const last = new Map<string, Wanted>()
  const pieces: string[] = []
  let piece: unknown[] = []
  let bytes = 0
  const cut = (): void => {
    pieces.push(JSON.stringify(piece))
    piece = []
    bytes = 0
  }
  for (const one of wanted) last.set(keyOf(one), one)
  for (const { kind, target, recovery } of last.values()) {
    piece.push([kind, hexOf(topicToBytes(target)), recovery === undefined ? null : hexOf(Buffer.from(recovery))])
    bytes += target.length + (recovery?.length ?? 0)
    if (piece.length < PIECE && bytes < PIECE_BYTES) continue
    cut()
    await turn()
  }
  if (piece.length > 0) cut()
  return pieces
}

function keyOf({ kind, target }: Pick<Wanted, 'kind' | 'target'>): string {
  return `${kind} ${target}`
}
