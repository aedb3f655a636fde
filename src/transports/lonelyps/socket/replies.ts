/** A request that is to be answered. */
export interface Reply {
  /** Says how: done when all before it are answered. Does nothing the second time. */
  fill(answer: () => void): void
}

/** Clients expect answers in the order of their requests, whatever each took (lonelyps, section 4.14, rule 1). */
export interface Replies {
  /** Requests without an answer. */
  readonly open: number
  next(): Reply
}

/** @param answered called after answers were given */
export function createReplies(answered: () => void): Replies {
  const row: { answer: (() => void) | undefined }[] = []

  function release(): void {
    let some = false
    for (let first = row[0]; first?.answer !== undefined; first = row[0]) {
      row.shift()
      first.answer()
      some = true
    }
    if (some) answered()
  }

  return {
    get open() { return row.length },
    next() {
      const mine: { answer: (() => void) | undefined } = { answer: undefined }
      row.push(mine)
      return {
        fill(answer) {
          if (mine.answer !== undefined) return
          mine.answer = answer
          if (row[0] === mine) release()
        },
      }
    },
  }
}
