/** Values that come one by one, to be awaited one by one: `await inbox.next()`. */
export interface Inbox<T> {
  push(value: T): void
  /** No more will come: whoever waits, and whoever asks later, gets this error. */
  end(error: Error): void
  /** The next value, already here or still to come. Rejects after `ms`, so that a missing event fails by name. */
  next(ms?: number): Promise<T>
  /** Everything that is here already. */
  taken(): T[]
  /** The next `n` values. */
  take(n: number, ms?: number): Promise<T[]>
}

export function createInbox<T>(what: string): Inbox<T> {
  const values: T[] = []
  const waiting: { resolve(value: T): void; reject(error: Error): void }[] = []
  let ended: Error | undefined

  const inbox: Inbox<T> = {
    push(value) {
      const first = waiting.shift()
      if (first === undefined) values.push(value)
      else first.resolve(value)
    },
    end(error) {
      ended ??= error
      for (const one of waiting.splice(0)) one.reject(error)
    },
    next(ms = 20_000) {
      if (values.length > 0) return Promise.resolve(values.shift() as T)
      if (ended !== undefined) return Promise.reject(ended)
      return new Promise((resolve, reject) => {
        const timer = setTimeout(() => one.reject(new Error(`no ${what} within ${ms} ms`)), ms)
        const done = (): void => {
          clearTimeout(timer)
          const at = waiting.indexOf(one)
          if (at !== -1) waiting.splice(at, 1)
        }
        const one = {
          resolve: (value: T) => (done(), resolve(value)),
          reject: (error: Error) => (done(), reject(error)),
        }
        waiting.push(one)
      })
    },
    taken: () => values.splice(0),
    async take(n, ms) {
      const all: T[] = []
      while (all.length < n) all.push(await inbox.next(ms))
      return all
    },
  }
  return inbox
}

/** Waits for a condition that no event tells of, by looking every few milliseconds. Fails by name. */
export async function until(condition: () => boolean | Promise<boolean>, what: string, ms = 20_000): Promise<void> {
  const deadline = performance.now() + ms
  while (!(await condition())) {
    if (performance.now() > deadline) throw new Error(`${what}: not within ${ms} ms`)
    await new Promise((resolve) => setTimeout(resolve, 5))
  }
}
