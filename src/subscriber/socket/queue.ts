/** First in, first out, without moving what waits when one goes. */
export interface Queue<T> {
  readonly size: number
  push(one: T): void
  peek(): T | undefined
  shift(): T | undefined
  /** Everything, in order; the queue is empty then. */
  drain(): T[]
}

/** What has gone is let go of at once, its place when there are so many of them. */
const COMPACT_AT = 1_024

export function createQueue<T>(): Queue<T> {
  let items: (T | undefined)[] = []
  let first = 0
  return {
    get size() { return items.length - first },
    push: (one) => void items.push(one),
    peek: () => items[first],
    shift() {
      if (first === items.length) return undefined
      const one = items[first]
      items[first++] = undefined
      if (first === items.length) {
        items = []
        first = 0
      } else if (first >= COMPACT_AT && first * 2 > items.length) {
        items = items.slice(first)
        first = 0
      }
      return one
    },
    drain() {
      const all = items.slice(first) as T[]
      items = []
      first = 0
      return all
    },
  }
}
