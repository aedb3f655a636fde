import * as v from 'valibot'
import { compilePattern } from '../core/pattern.ts'
import type { Rule } from '../core/rules.ts'
import { readGrants, readLinks } from './link-options.ts'
import { readServiceRules, readServices } from './service-options.ts'
import { explain, fault, parsedJson, type Faults } from './option-faults.ts'
import type { Option } from './options.ts'

const SIZES: Record<string, number> = { '': 1, b: 1, k: 1024, kb: 1000, kib: 1024, m: 1024 ** 2, mb: 1e6, mib: 1024 ** 2, g: 1024 ** 3, gb: 1e9, gib: 1024 ** 3 }
const TIMES: Record<string, number> = { '': 1, ms: 1, s: 1e3, m: 6e4, min: 6e4, h: 36e5, d: 864e5 }
/** Past this a timer of Node's goes off at once. */
const LONGEST_TIMER = 2 ** 31 - 1

/** Reads one value, whether it came as text (environment, flag) or as itself (configuration). */
export function readValue(option: Option, value: unknown): { value: unknown } | Faults {
  switch (option.kind) {
    case 'secret':
    case 'database':
    case 'text': return typeof value === 'string' ? { value } : fault('must be a text')
    case 'texts': return readTexts(value)
    case 'switch': return readSwitch(value)
    case 'choice': return option.choices?.includes(value as string) === true ? { value } : fault(`must be one of ${option.choices?.join(', ')}`)
    case 'bytes': return readAmount(value, SIZES, 'a size such as 65536, 64KiB or 1MiB', option.min)
    case 'time': return readAmount(value, TIMES, 'a time such as 500ms, 10s or 5m', option.min, LONGEST_TIMER)
    case 'count': return readAmount(value, { '': 1 }, 'a whole number', option.min)
    case 'rules': return readRules(value)
    case 'grants': return readGrants(value)
    case 'links': return readLinks(value)
    case 'serviceRules': return readServiceRules(value)
    case 'services': return readServices(value)
    case 'port': return readPort(value)
    default: return option.kind satisfies never
  }
}

function readPort(value: unknown): { value: number | '' } | Faults {
  if (value === '') return { value }
  const number = typeof value === 'string' && /^\d{1,5}$/.test(value) ? Number(value) : value
  return typeof number === 'number' && Number.isInteger(number) && number >= 0 && number <= 65_535 ? { value: number } : fault('must be a port number from 0 to 65535')
}

function readTexts(value: unknown): { value: readonly string[] } | Faults {
  const list: unknown[] = Array.isArray(value) ? value : [value]
  if (!list.every((one) => typeof one === 'string')) return fault('must be a text or a list of texts')
  return { value: list.flatMap((one) => one.split(',')).map((one) => one.trim()).filter((one) => one !== '') }
}

function readSwitch(value: unknown): { value: boolean } | Faults {
  if (typeof value === 'boolean') return { value }
  if (['on', 'true', '1', 'yes'].includes(String(value))) return { value: true }
  if (['off', 'false', '0', 'no'].includes(String(value))) return { value: false }
  return fault('must be on or off')
}

function readAmount(value: unknown, units: Record<string, number>, form: string, min = 0, max = Number.MAX_SAFE_INTEGER): { value: number } | Faults {
  const isText = typeof value === 'number' || typeof value === 'string'
  const match = isText ? /^(\d+)(\.\d+)?\s*([a-z]*)$/i.exec(String(value).trim()) : null
  if (match === null) return fault(`must be ${form}`)
  const [, whole, part = '', unit] = match as unknown as [string, string, string | undefined, string]
  const factor = units[unit.toLowerCase()]
  // Half a second is a time; half a byte, half a millisecond and half a connection are nothing.
  if (factor === undefined || (factor === 1 && part !== '')) return fault(`must be ${form}`)
  const amount = Math.round(Number(whole + part) * factor)
  if (amount < min) return fault(`must be at least ${min}`)
  return amount > max ? fault(`must be at most ${max}`) : { value: amount }
}

const who = v.picklist(['anyone', 'signed', 'local', 'nobody'])
const rules = v.array(v.strictObject({
  topics: v.string(),
  publish: v.optional(who),
  subscribe: v.optional(who),
  keep: v.optional(v.strictObject({ messages: v.pipe(v.number(), v.integer(), v.minValue(0)), age: v.optional(v.union([v.number(), v.string()])) })),
}))
const RULE_KEYS = ['topics', 'publish', 'subscribe', 'keep', 'messages', 'age']

function readRules(value: unknown): { value: readonly Rule[] } | Faults {
  const stated = parsedJson(value, 'a list of rules')
  if ('faults' in stated) return stated
  const parsed = v.safeParse(rules, stated.value)
  if (!parsed.success) return { faults: parsed.issues.map((issue) => explain(issue, 'a rule', RULE_KEYS)) }
  const faults: string[] = []
  const made = parsed.output.map((rule, i): Rule => {
    try {
      compilePattern(rule.topics)
    } catch (error) {
      faults.push(`[${i}].topics: ${(error as Error).message}`)
    }
    const { keep, ...rest } = rule
    if (keep === undefined) return rest as Rule
    const age = readAmount(keep.age ?? '1h', TIMES, 'a time such as 10m, 1h or 7d')
    if ('faults' in age) faults.push(`[${i}].keep.age ${age.faults[0]}`)
    return { ...rest, keep: { messages: keep.messages, ms: 'value' in age ? age.value : 0 } } as Rule
  })
  return faults.length > 0 ? { faults } : { value: made }
}
