import { AsyncLocalStorage } from 'node:async_hooks'

/** Runs a function of a program in the context that it belongs to. */
export type Run = <T>(fn: () => T) => T

/** The context of nobody: that in which this file was loaded. */
const outside: Run = AsyncLocalStorage.snapshot()

/**
 * Where the functions of a program run (`erps.md`, section 13).
 * @param forward `forwardCallers` as stated: in the context of whoever calls this now, or outside of any
 */
export function contextFor(forward: boolean | undefined): Run {
  return forward === true ? AsyncLocalStorage.snapshot() : outside
}
