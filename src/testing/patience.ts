/** How long what must come is waited for, where a suite is not told otherwise. */
export const PATIENCE = 20_000

export interface Patience {
  /** Milliseconds that what must come may take. */
  readonly patience?: number
}

/** The promise, or a failure by name when it takes too long: a suite must not hang on what never comes. */
export async function within<T>(promise: Promise<T>, what: string, ms: number): Promise<T> {
  let timer: NodeJS.Timeout | undefined
  const late = new Promise<never>((_, reject) => {
    timer = setTimeout(() => reject(new Error(`${what}: not within ${ms} ms`)), ms)
  })
  try {
    return await Promise.race([promise, late])
  } finally {
    clearTimeout(timer)
  }
}
