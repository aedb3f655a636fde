/** Answers that something outside of the hub takes its time for: the sequence says when they come, and which. */
export interface Doors<T> {
  /** How many are waited for. */
  readonly open: number
  ask(): Promise<T>
  /** The one with this number, counted over all that were ever asked, from 0. */
  answer(number: number, value: T): void
  refuse(number: number): void
}

export function createDoors<T>(): Doors<T> {
  const waiting = new Map<number, { resolve: (value: T) => void; reject: (error: Error) => void }>()
  let asked = 0
  function take(number: number): { resolve: (value: T) => void; reject: (error: Error) => void } {
    const door = waiting.get(number)
    if (door === undefined) throw new Error(`the hub has not asked for number ${number}`)
    waiting.delete(number)
    return door
  }
  return {
    get open() { return waiting.size },
    ask: () => new Promise((resolve, reject) => waiting.set(asked++, { resolve, reject })),
    answer: (number, value) => take(number).resolve(value),
    refuse: (number) => take(number).reject(new Error('not now')),
  }
}
