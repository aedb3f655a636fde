import { basename, relative, resolve } from 'node:path'
import { WaystationError } from '../core/errors.ts'
import { AuthorityError, CA_DAYS, CA_NAME, faultOfAuthorityName, faultOfDns, faultOfIp, faultOfName, LEAF_DAYS, openCertificates, readDays, type Authority, type Existing, type Shown } from '../server/certificates.ts'
import { hint } from '../server/nearest.ts'
import type { Command, Io } from './command.ts'
import { readFlags, type ParsedFlags } from './flags.ts'
import { printable } from './printable.ts'

const flags = {
  dir: { value: 'DIR', help: 'the folder of the CA, made for its owner alone if it is missing' },
  name: { value: 'NAME', help: 'whose certificate it is: what stands in it, and what its files are called by' },
  ip: { value: 'ADDRESS', help: 'server, client: an IP address that it is good for; may be stated again' },
  dns: { value: 'NAME', help: 'server, client: a DNS name that it is good for; may be stated again' },
  both: { help: 'server: it is good for taking as well, for an Elixir node that has one certificate for both' },
  days: { value: 'DAYS', help: `init, server, client, renew: how long it holds (${LEAF_DAYS}; init: ${CA_DAYS}), and never longer than the CA` },
  cn: { value: 'TEXT', help: `init: what the CA is called (${CA_NAME})` },
  serial: { value: 'NUMBER', help: 'revoke: its serial number, instead of --name' },
  force: { help: 'init, server, client: files that are there are written over' },
  json: { help: 'show: JSON, one object a line' },
} as const

/** Which of the flags each takes. */
const TAKES = {
  init: ['dir', 'cn', 'days', 'force'],
  server: ['dir', 'name', 'ip', 'dns', 'both', 'days', 'force'],
  client: ['dir', 'name', 'ip', 'dns', 'days', 'force'],
  renew: ['dir', 'name', 'days'],
  revoke: ['dir', 'name', 'serial'],
  show: ['dir', 'name', 'json'],
} as const

type Word = keyof typeof TAKES

const DAY = 86_400_000

interface Wanted {
  readonly own: Readonly<Record<string, string | true>>
  readonly lists: ParsedFlags['lists']
  readonly io: Io
}

/** What one of the words does. @returns the exit status */
type Act = (authority: Authority, wanted: Wanted, problems: string[]) => () => Promise<number>

const ACTS: Readonly<Record<Word, Act>> = { init, server: leafOf('server'), client: leafOf('client'), renew, revoke, show }

/** Certificates for links and services (PonyExpress, section 9). */
export const certs: Command = {
  name: 'certs',
  usage: `${Object.keys(TAKES).join('|')} --dir DIR [options]`,
  summary: 'Makes a private CA and certificates for both ends of links and services, renews, revokes and shows them.',
  words: {
    init: 'makes a CA: ca.pem, which every end needs, ca.key, which none does, and crl.pem, the list of revoked certificates',
    server: 'makes NAME.pem and NAME.key for a daemon, which gives topics, or serves, or lets callers and workers in',
    client: 'makes NAME.pem and NAME.key for a hub that takes topics, a caller or a worker',
    renew: 'makes another certificate of the same name and names, with a new key',
    revoke: 'puts certificates into crl.pem: hubs that have the new one let them in no more',
    show: 'prints what was issued, and until when it holds',
  },
  flags,
  takesOptions: false,
  async run(args, io) {
    const { own, lists, positionals, problems: found } = readFlags(args, flags, {})
    const problems = [...found]
    const names = Object.keys(TAKES) as Word[]
    const [word, ...words] = positionals
    const what = names.find((name) => name === word)
    if (what === undefined) throw new WaystationError('bad_request', word === undefined ? `say what to do: ${names.join(', ')}` : `${JSON.stringify(word)} is none of ${names.join(', ')}${hint(word, names)}`)
    if (words.length > 0) problems.push(`${JSON.stringify(words[0])} is one word too many`)
    problems.push(...Object.keys(own).filter((name) => !(TAKES[what] as readonly string[]).includes(name)).map((name) => `--${name} is no option of ${what}`))
    const { dir } = own
    if (typeof dir !== 'string') throw new WaystationError('bad_request', [...problems, `say in which folder: waystation certs ${what} --dir DIR`].join('; '))
    const authority = await openCertificates(resolve(io.cwd, dir))
    const act = ACTS[what](authority, { own, lists, io }, problems)
    if (problems.length > 0) throw new WaystationError('bad_request', problems.join('; '))
    try {
      return await act()
    } catch (error) {
      if (!(error instanceof AuthorityError) && (error as NodeJS.ErrnoException).syscall === undefined) throw error
      io.err.write(`waystation certs: ${printable((error as Error).message)}\n`)
      return 1
    }
  },
}

function init(authority: Authority, { own, io }: Wanted, problems: string[]): () => Promise<number> {
  const name = typeof own['cn'] === 'string' ? own['cn'] : CA_NAME
  fault(faultOfAuthorityName(name), '--cn', problems)
  const days = daysOf(own, CA_DAYS, problems)
  return async () => {
    io.out.write(wrote(await authority.init({ name, days }, existing(own)), io))
    io.out.write(`\nca.key makes certificates: it stays here, and goes to no hub.\n`)
    io.out.write(`\nnext: waystation certs server --dir ${word(String(own['dir']))} --name hub --ip 127.0.0.1 --dns localhost\n`)
    return 0
  }
}

function leafOf(side: 'server' | 'client'): Act {
  return (authority, { own, lists, io }, problems) => {
    const name = needName(own, side, problems)
    const [ips, dns] = [lists['ip'] ?? [], lists['dns'] ?? []]
    for (const ip of ips) fault(faultOfIp(ip), '--ip', problems)
    for (const one of dns) fault(faultOfDns(one), '--dns', problems)
    const days = daysOf(own, LEAF_DAYS, problems)
    if (side === 'server' && ips.length + dns.length === 0) problems.push('state the addresses and names that it is reached by, with --ip and --dns: the other ends check them')
    return async () => {
      const files = await authority.issue({ kind: own['both'] === true ? 'both' : side, name, ips, dns, days }, existing(own))
      if (files.some((file) => basename(file) === 'ca.pem')) io.out.write('There was no CA: one is made first.\n')
      io.out.write(wrote(files, io))
      const in_ = (file: string): string => word(relative(io.cwd, resolve(io.cwd, String(own['dir']), file)))
      if (side === 'server') {
        if (ips.length === 0) io.err.write('It holds no IP address; Elixir clients of PonyExpress check the address that they connect to, and need one (--ip).\n')
        io.out.write(`\nnext: waystation serve --link-port 5555 --link-cacertfile ${in_('ca.pem')} \\\n        --link-certfile ${in_(`${name}.pem`)} --link-keyfile ${in_(`${name}.key`)} --link-crlfile ${in_('crl.pem')}\n`)
        io.out.write(`for services: the same flags with --service- in place of --link-, or waystation service run ./service.ts\n`)
      } else {
        io.out.write(`\nnext: in the configuration of the hub that takes topics, with these files beside it:\n`)
        io.out.write(`  links: [{ server: '127.0.0.1', port: 5555, topics: ['my_topic'], tls: {\n    cacertfile: ${quoted('ca.pem')}, certfile: ${quoted(`${name}.pem`)}, keyfile: ${quoted(`${name}.key`)} } }]\n`)
        io.out.write(`for services: waystation service work ./service.ts --hub HOST:PORT --name NAME --cacertfile ${in_('ca.pem')} \\\n        --certfile ${in_(`${name}.pem`)} --keyfile ${in_(`${name}.key`)}\n`)
      }
      return 0
    }
  }
}

function renew(authority: Authority, { own, io }: Wanted, problems: string[]): () => Promise<number> {
  const name = needName(own, 'renew', problems)
  const days = daysOf(own, LEAF_DAYS, problems)
  return async () => {
    io.out.write(wrote(await authority.renew(name, days), io))
    io.out.write('\nnext: copy both files to where they are used; a hub takes them up within a second.\nThe old certificate holds until it expires; "waystation certs revoke --serial" ends it.\n')
    return 0
  }
}

function revoke(authority: Authority, { own, io }: Wanted, problems: string[]): () => Promise<number> {
  const serial = own['serial']
  if (typeof serial === 'string') {
    if (own['name'] !== undefined) problems.push('state --name or --serial, not both')
    if (!/^[0-9a-f:]+$/i.test(serial)) problems.push(`--serial is no serial number: ${JSON.stringify(serial)}`)
  }
  const which = typeof serial === 'string' ? { serial } : { name: needName(own, 'revoke', problems) }
  return async () => {
    for (const { name, serial: number } of await authority.revoke(which)) io.out.write(`revoked: ${printable(name)}, number ${number}\n`)
    io.out.write(`\nnext: copy ${word(relative(io.cwd, resolve(io.cwd, String(own['dir']), 'crl.pem')))} to every hub that has it as its crlfile; it ends their links and connections within five seconds.\n`)
    return 0
  }
}

function show(authority: Authority, { own, io }: Wanted): () => Promise<number> {
  return async () => {
    const all = await authority.all()
    const name = own['name']
    const some = name === undefined ? all : all.filter((one) => one.name === name)
    if (some.length === 0) {
      io.err.write(`waystation certs: there is no certificate of the name "${printable(String(name))}"${hint(String(name), all.map((one) => one.name), printable)}\n`)
      return 1
    }
    const now = Date.now()
    if (own['json'] === true) io.out.write(some.map((one) => `${JSON.stringify({ ...one, from: timeOf(one.from), until: timeOf(one.until), ...(one.revokedAt !== undefined && { revokedAt: timeOf(one.revokedAt) }), state: stateOf(one, now) })}\n`).join(''))
    else if (name === undefined) io.out.write(tableOf(some.map((one) => ({ name: printable(one.name), kind: one.kind, until: timeOf(one.until).slice(0, 10), state: stateOf(one, now), names: namesOf(one) }))))
    else io.out.write(some.map((one) => blockOf(one, now)).join('\n'))
    return 0
  }
}

function blockOf(one: Shown, now: number): string {
  const rows = { name: printable(one.name), kind: one.kind, names: namesOf(one) || 'none', from: timeOf(one.from), until: timeOf(one.until), state: stateOf(one, now), serial: one.serial, sha256: one.fingerprint }
  return Object.entries(rows).map(([name, value]) => `${`${name}:`.padEnd(8)} ${value}\n`).join('')
}

function stateOf({ from, until, revokedAt }: Shown, now: number): string {
  if (revokedAt !== undefined) return 'revoked'
  if (until < now) return 'expired'
  if (from > now) return 'not yet valid'
  const days = Math.ceil((until - now) / DAY)
  return days <= 30 ? `valid for ${days} more day${days === 1 ? '' : 's'}` : 'valid'
}

function namesOf({ ips, dns }: Shown): string {
  return [...ips, ...dns].map(printable).join(' ')
}

function needName(own: Wanted['own'], what: string, problems: string[]): string {
  const name = own['name']
  if (typeof name !== 'string') {
    problems.push(`say whose it is: waystation certs ${what} --dir DIR --name NAME`)
    return ''
  }
  fault(faultOfName(name), '--name', problems)
  return name
}

function daysOf(own: Wanted['own'], otherwise: number, problems: string[]): number {
  const text = own['days']
  const days = typeof text === 'string' ? readDays(text) : otherwise
  if (days === undefined) problems.push(`--days must be a number from 1 to 36500, not ${JSON.stringify(text)}`)
  return days ?? otherwise
}

function fault(problem: string | undefined, flag: string, problems: string[]): void {
  if (problem !== undefined) problems.push(`${flag} ${problem}`)
}

function existing(own: Wanted['own']): Existing {
  return own['force'] === true ? 'replaced' : 'kept'
}

/** Which files there are now, from where the command is run. */
function wrote(files: readonly string[], { cwd }: Io): string {
  return files.map((file) => `wrote ${printable(relative(cwd, file))}\n`).join('')
}

/** As a shell takes it. */
function word(text: string): string {
  return /^[\w./:@%+=,-]+$/.test(text) ? text : `'${printable(text).replaceAll("'", String.raw`'\''`)}'`
}

/** As JavaScript takes it. */
function quoted(text: string): string {
  return `'${printable(text).replaceAll(/['\\]/g, String.raw`\$&`)}'`
}

function timeOf(ms: number): string {
  return new Date(ms).toISOString()
}

function tableOf(rows: readonly Readonly<Record<string, string>>[]): string {
  const names = Object.keys(rows[0] ?? {})
  const lines = [names, ...rows.map((row) => Object.values(row))]
  const widths = names.map((_, i) => Math.max(...lines.map((line) => line[i]?.length ?? 0)))
  return lines.map((line) => `${line.map((cell, i) => cell.padEnd(widths[i] ?? 0)).join('  ').trimEnd()}\n`).join('')
}
