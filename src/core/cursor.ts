/** A place in a log: everything up to and including `offset` of the log `epoch` has been seen. */
export interface Cursor {
  readonly epoch: string
  readonly offset: number
}

/** `epoch:offset`, the form that travels in headers, queries and event ids. */
export function formatCursor(cursor: Cursor): string {
  return `${cursor.epoch}:${cursor.offset}`
}

/** Reads `epoch:offset`; `undefined` when the text is no cursor. Offsets are whole numbers from 0 to 2^53 - 1. */
export function parseCursor(text: string): Cursor | undefined {
  const match = /^([0-9a-z]{1,32}):(\d{1,16})$/.exec(text)
  if (match === null) return undefined
  const offset = Number(match[2])
  if (!Number.isSafeInteger(offset)) return undefined
  return { epoch: match[1] as string, offset }
}
