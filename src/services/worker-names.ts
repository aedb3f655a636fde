/** Names that the workers of a hub are known by: each has one of its own, and the same when it comes again. */
export interface WorkerNames {
  /** @returns `release` gives it back, once */
  take(wish: string): { readonly name: string; readonly release: () => void }
}

interface Numbers {
  /** How many there are, those included that are free. */
  last: number
  readonly free: number[]
}

/** However many wish for the same name, none of them costs more than the first. */
export function createWorkerNames(): WorkerNames {
  const wishes = new Map<string, Numbers>()
  return {
    take(wish) {
      const numbers = wishes.get(wish) ?? { last: 0, free: [] }
      wishes.set(wish, numbers)
      const number = numbers.free.pop() ?? ++numbers.last
      return {
        name: `${wish} ${number}`,
        release() {
          numbers.free.push(number)
          if (numbers.free.length === numbers.last) wishes.delete(wish)
        },
      }
    },
  }
}
