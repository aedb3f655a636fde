import type * as v from 'valibot'
import { hint } from './nearest.ts'

/** A value that cannot be used. One value may have several faults. */
export interface Faults {
  readonly faults: readonly string[]
}

export function fault(...faults: string[]): Faults {
  return { faults }
}

/** A value that is itself in a configuration, and JSON in the environment and as a flag. @param form what it must be */
export function parsedJson(value: unknown, form: string): { value: unknown } | Faults {
  if (typeof value !== 'string') return { value }
  try {
    return { value: JSON.parse(value) }
  } catch {
    return fault(`must be JSON: ${form}`)
  }
}

/** What is wrong in a nested value, with its path. @param keys those that there may be, for who mistyped one */
export function explain(issue: v.BaseIssue<unknown>, what: string, keys: readonly string[]): string {
  const where = (issue.path ?? []).map((part) => (typeof part.key === 'number' ? `[${part.key}]` : `.${String(part.key)}`)).join('')
  const key = String(issue.path?.at(-1)?.key ?? '')
  if (issue.expected === 'never') return `${where} is no key of ${what}${hint(key, keys)}`
  if (issue.received === 'undefined') return `${where} is missing`
  if (issue.type === 'check') return `${where} ${issue.message}`
  return `${where} must be ${inWords(issue.expected ?? 'otherwise')}, not ${inWords(issue.received)}`.trimStart()
}

/** What the library calls by its names in JavaScript. */
function inWords(form: string): string {
  return ({ Array: 'a list', Object: 'an object', string: 'a text', number: 'a number', boolean: 'true or false' } as Record<string, string>)[form] ?? form
}
