import { hash, randomBytes } from 'node:crypto'
import { WaystationError } from '../core/errors.ts'
import type { KeyRow, KeyTable } from '../core/registry.ts'
import { hint } from '../server/nearest.ts'
import type { Command, Io } from './command.ts'
import { printable } from './printable.ts'
import { CONFIG_FLAG, missingFile, nameOf, readWish, REGISTRY_OPTIONS, withRegistry } from './registry-options.ts'

const flags = {
  domain: { value: 'DOMAIN', help: 'the domain that the key lets publish under' },
  username: { value: 'NAME', help: 'whose key it is; it decides nothing (add: empty when not given; list: only those)' },
  json: { help: 'JSON, one object a line' },
  ...CONFIG_FLAG,
} as const

/** Which of the flags each takes. */
const TAKES = {
  add: ['domain', 'username', 'json'],
  list: ['username', 'json'],
  show: ['domain', 'json'],
  revoke: ['domain', 'json'],
  rotate: ['domain', 'json'],
  remove: ['domain', 'json'],
} as const

/** What the table of wspubsub has room for. */
const [MOST_DOMAIN, MOST_USERNAME] = [64, 254]
const KEY_BYTES = 24
const PAGE = 1_000
/** Domains that are looked through for one that may have been meant. */
const MOST_COMPARED = 10_000

/** What one of the words does to one domain. @returns the exit status */
type Act = (table: KeyTable, domain: string, own: Readonly<Record<string, string | true>>, io: Io) => Promise<number>

const ACTS: Readonly<Record<Exclude<keyof typeof TAKES, 'list'>, Act>> = { add, show, revoke, rotate, remove }

/** API keys, as wspubsub has them (section 7). */
export const keys: Command = {
  name: 'keys',
  usage: `${Object.keys(TAKES).join('|')} [--domain DOMAIN] [options]`,
  summary: 'Makes, lists, revokes and renews API keys: who has one publishes under its domain, and nobody else does.',
  words: {
    add: 'makes a key for a domain that has none, and prints it once',
    list: 'prints who has a key; keys themselves are never shown again',
    show: 'prints the row of one domain, without its key',
    revoke: 'ends the key; the domain stays closed to all others',
    rotate: 'gives the domain a new key in place of the old one, also after a revoke',
    remove: 'takes the row away; anyone may publish under the domain then',
  },
  flags,
  takesOptions: true,
  shows: REGISTRY_OPTIONS,
  async run(args, io) {
    const { what, words, own, options } = await readWish(args, flags, TAKES, io)
    if (words.length > 0) throw new WaystationError('bad_request', `${JSON.stringify(words[0])} is one word too many; the domain is stated with --domain`)
    // In another folder than the hub's, the option left out means another database.
    const missing = what === 'add' ? undefined : missingFile(options)
    if (what === 'list') return withRegistry(options, (table) => list(table, own, missing, io))
    const domain = own['domain']
    if (typeof domain !== 'string') throw new WaystationError('bad_request', `say which domain: waystation keys ${what} --domain DOMAIN`)
    if (what === 'add') checkNew(domain, own['username'])
    if (missing !== undefined) {
      io.err.write(`waystation keys: ${missing}; state that of the hub, with --database or --data-dir\n`)
      return 1
    }
    const status = await withRegistry(options, (table) => ACTS[what](table, domain, own, io))
    if (status === 0 && (what === 'add' || what === 'rotate') && own['json'] !== true) io.err.write(`The key is shown this once; what is kept, in ${printable(nameOf(options))}, is its hash.\n`)
    return status
  },
}

async function add(table: KeyTable, domain: string, own: Readonly<Record<string, string | true>>, io: Io): Promise<number> {
  const username = typeof own['username'] === 'string' ? own['username'] : ''
  const { apikey, sha256 } = newKey()
  if (await table.addKey({ domain, username, apikey: undefined, sha256 })) return give({ domain, username, apikey }, own, io)
  io.err.write(`waystation keys: the domain ${quoted(domain)} has a key already; "waystation keys rotate" gives it a new one\n`)
  return 1
}

async function rotate(table: KeyTable, domain: string, own: Readonly<Record<string, string | true>>, io: Io): Promise<number> {
  const { apikey, sha256 } = newKey()
  const [row] = await table.keysOf([domain])
  if (row === undefined || !(await table.changeKey(domain, { sha256, active: true }))) return unknown(table, domain, io)
  return give({ domain, username: row.username, apikey }, own, io)
}

async function show(table: KeyTable, domain: string, own: Readonly<Record<string, string | true>>, io: Io): Promise<number> {
  const [row] = await table.keysOf([domain])
  if (row === undefined) return unknown(table, domain, io)
  io.out.write(own['json'] === true ? jsonOf(row) : Object.entries(shown(row)).map(([name, value]) => `${`${name}:`.padEnd(10)} ${value}\n`).join(''))
  return 0
}

async function revoke(table: KeyTable, domain: string, own: Readonly<Record<string, string | true>>, io: Io): Promise<number> {
  if (!(await table.changeKey(domain, { active: false }))) return unknown(table, domain, io)
  io.out.write(own['json'] === true ? `${JSON.stringify({ domain, active: false })}\n` : `the key of ${quoted(domain)} is revoked; the domain stays closed to all others until "waystation keys rotate" or "remove"\n`)
  return 0
}

async function remove(table: KeyTable, domain: string, own: Readonly<Record<string, string | true>>, io: Io): Promise<number> {
  if (!(await table.removeKey(domain))) return unknown(table, domain, io)
  io.out.write(own['json'] === true ? `${JSON.stringify({ domain, removed: true })}\n` : `${quoted(domain)} has no key any more; the rules say who may publish under it\n`)
  return 0
}

async function list(table: KeyTable, own: Readonly<Record<string, string | true>>, missing: string | undefined, io: Io): Promise<number> {
  let any = false
  for await (const page of pages(table)) {
    const rows = page.filter((row) => own['username'] === undefined || row.username === own['username'])
    if (own['json'] === true) io.out.write(rows.map(jsonOf).join(''))
    else if (rows.length > 0) io.out.write(tableOf(rows.map(shown), any))
    any ||= rows.length > 0
  }
  if (!any && own['json'] !== true) io.err.write(`there are no keys${missing === undefined ? '' : `: ${missing}`}\n`)
  return 0
}

async function* pages(table: KeyTable): AsyncGenerator<readonly KeyRow[]> {
  for (let after = Number.MIN_SAFE_INTEGER, page; (page = await table.keysAfter(after, PAGE)).length > 0;) {
    yield page
    after = (page.at(-1) as KeyRow).id
  }
}

async function unknown(table: KeyTable, domain: string, io: Io): Promise<number> {
  const known: string[] = []
  for await (const page of pages(table)) {
    known.push(...page.map((row) => row.domain))
    if (known.length >= MOST_COMPARED) break
  }
  io.err.write(`waystation keys: the domain ${quoted(domain)} has no key${hint(domain, known, quoted)}\n`)
  return 1
}

/** The one time that a key is seen. */
function give(key: { readonly domain: string; readonly username: string; readonly apikey: string }, own: Readonly<Record<string, string | true>>, io: Io): number {
  if (own['json'] === true) io.out.write(`${JSON.stringify(key)}\n`)
  else io.out.write(`domain:    ${printable(key.domain)}\nusername:  ${printable(key.username)}\napikey:    ${key.apikey}\n`)
  return 0
}

function newKey(): { readonly apikey: string; readonly sha256: Buffer } {
  const apikey = `ws_${randomBytes(KEY_BYTES).toString('base64url')}`
  return { apikey, sha256: hash('sha256', apikey, 'buffer') }
}

/** What cannot stand in a URL, or in the table, must not get a key. @throws {WaystationError} `bad_request` */
function checkNew(domain: string, username: string | true | undefined): void {
  const problem = domain === '' ? 'must not be empty'
    : domain.includes('/') ? 'must not hold a slash: a domain is what stands before the first one of a topic'
    : domain === '.' || domain === '..' ? 'cannot stand in a URL'
    : faultOf(domain, MOST_DOMAIN)
  if (problem !== undefined) throw new WaystationError('bad_request', `--domain ${problem}`)
  const second = typeof username === 'string' ? faultOf(username, MOST_USERNAME) : undefined
  if (second !== undefined) throw new WaystationError('bad_request', `--username ${second}`)
}

function faultOf(text: string, most: number): string | undefined {
  if (/[\p{Cc}\p{Cs}]/u.test(text)) return 'must not hold control characters'
  return [...text].length > most ? `must not have more than ${most} characters` : undefined
}

/** All that is ever shown of a stored row: the key and its hash are no part of it. */
function shown({ domain, username, insertedAt, active, sha256 }: KeyRow): Readonly<Record<string, string>> {
  return { domain: printable(domain), username: printable(username), since: timeOf(insertedAt), active: active ? 'yes' : 'no', stored: sha256 === undefined ? 'plain' : 'hashed' }
}

function jsonOf({ domain, username, insertedAt, active, sha256 }: KeyRow): string {
  return `${JSON.stringify({ domain, username, insertedAt: timeOf(insertedAt), active, hashed: sha256 !== undefined })}\n`
}

/** What a table of somebody else's may hold as a time need not be one. */
function timeOf(ms: number): string {
  const date = new Date(ms)
  return Number.isNaN(date.getTime()) ? 'unknown' : date.toISOString()
}

/** @param goesOn whether the names of the columns stand above already */
function tableOf(rows: readonly Readonly<Record<string, string>>[], goesOn: boolean): string {
  const names = Object.keys(rows[0] ?? {})
  const lines = [...(goesOn ? [] : [names]), ...rows.map((row) => Object.values(row))]
  const widths = names.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  return lines.map((line) => `${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd()}\n`).join('')
}

function quoted(domain: string): string {
  return `"${printable(domain)}"`
}
