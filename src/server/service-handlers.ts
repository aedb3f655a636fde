import { hint } from './nearest.ts'

const HANDLERS = ['call', 'cast', 'connected', 'disconnected', 'filter']

/**
 * What is wrong with the handlers that a program states, in words. Members of other names may be its own; one that stands
 * where a filter should and is none must not let everybody through.
 * @param stated an object, or what makes one for each connection: that one is known when it is made
 */
export function faultsOfHandlers(stated: unknown): string[] {
  if (typeof stated === 'function') return []
  if (typeof stated !== 'object' || stated === null) return ['handlers are missing: an object with call, cast or both, or a function that makes one for each connection']
  const handlers = stated as Readonly<Record<string, unknown>>
  const found = HANDLERS.filter((name) => handlers[name] !== undefined && typeof handlers[name] !== 'function').map((name) => `${name} must be a function`)
  if (HANDLERS.some((name) => handlers[name] !== undefined)) return found
  return [`no handler is stated: an object with call, cast or both${hintOf(Object.keys(handlers))}`]
}

function hintOf([first]: readonly string[]): string {
  return first === undefined ? '' : hint(first, HANDLERS)
}
