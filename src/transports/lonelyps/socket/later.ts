/** What comes at once, or later. What can be done at once is: a promise for each message would cost more than the rest. */
export type Later<T> = T | Promise<T>

/** Goes on with a value as soon as it is there. */
export function whenThere<T, R>(value: Later<T>, go: (value: T) => Later<R>): Later<R> {
  return value instanceof Promise ? value.then(go) : go(value)
}
