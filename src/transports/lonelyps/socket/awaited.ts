/** A part that the subscriber is to acknowledge. */
export interface Sent {
  readonly identifier: Buffer
  readonly part: number
  readonly isLast: boolean
}

/** Parts that were sent and not acknowledged, in order (lonelyps, section 4.11). */
export interface Awaited {
  readonly size: number
  add(sent: Sent): void
  /**
   * The next acknowledgement.
   * @param part that it names; `undefined` for the one that confirms a whole message
   * @returns what is wrong with it, if anything is
   */
  acknowledged(identifier: Buffer, part: number | undefined): string | undefined
}

export function createAwaited(): Awaited {
  const row: Sent[] = []
  return {
    get size() { return row.length },
    add: (sent) => void row.push(sent),
    acknowledged(identifier, part) {
      const first = row[0]
      if (first === undefined) return 'acknowledged what was not sent'
      if (!first.identifier.equals(identifier)) return 'acknowledged another message'
      if (first.isLast !== (part === undefined)) return first.isLast ? 'asked for more of a whole message' : 'confirmed a message in its middle'
      if (part !== undefined && part !== first.part) return 'acknowledged another part'
      row.shift()
      return undefined
    },
  }
}
