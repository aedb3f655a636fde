import { WaystationError } from '../core/errors.ts'
import { compilePattern } from '../core/pattern.ts'
import { addressSet, parseAddress } from '../http/address.ts'
import { createOrigins } from '../http/origin.ts'
import { readDatabase } from './database.ts'
import { dictionariesOf, readDictionaries } from './dictionaries.ts'
import { isThisMachine, tcpRefused } from './link-options.ts'
import { judgeSchemes } from './schemes.ts'
import { namedIn } from './service-options.ts'
import { envName, flagName, type OptionName, type Options } from './options.ts'

/** What can only be judged of values as a whole. Gives a line for each problem. */
export function judgeTogether(options: Options, from: Readonly<Record<OptionName, string>>): string[] {
  const problems: string[] = []
  const at = (name: OptionName): string => `${from[name]}: ${written(name, from[name])}`
  const address = parseAddress(options.addr)
  if (typeof address === 'string') problems.push(`${at('addr')} ${address}`)
  const attempts: [OptionName, () => unknown][] = [
    ['origin', () => createOrigins(options.origin)],
    ['trustedProxies', () => addressSet(options.trustedProxies)],
    ['allowWebhooks', () => addressSet(options.allowWebhooks)],
    ['wspubsubTopics', () => options.wspubsubTopics.map(compilePattern)],
    // The files are looked at where they are needed.
    ['compressionDictionaries', () => (options.lonelyps ? dictionariesOf : readDictionaries)(options.compressionDictionaries)],
  ]
  for (const [name, attempt] of attempts) {
    try {
      attempt()
    } catch (error) {
      problems.push(`${at(name)} ${error instanceof WaystationError ? error.detail : (error as Error).message}`)
    }
  }
  const database = readDatabase(options.database)
  if (typeof database === 'string') problems.push(`${at('database')} ${database}`)
  for (const { option, fault } of judgeSchemes(options)) problems.push(`${from[option]}: ${written(option, from[option])} ${fault}`)
  if (options.publicUrl !== '' && !/^https?:\/\/[^/?#\s]+\/?$/.test(options.publicUrl)) problems.push(`${at('publicUrl')} must be http://host:port or https://host:port`)
  if ((options.tlsCert === '') !== (options.tlsKey === '')) {
    const missing = options.tlsCert === '' ? 'tlsCert' : 'tlsKey'
    problems.push(`${written(missing, 'command line')} is missing: a certificate and its key go together`)
  }
  problems.push(...judgeDaemon(options, 'link', at), ...judgeDaemon(options, 'service', at))
  if (options.maxCallTimeout < options.callTimeout) problems.push(`${at(from.callTimeout === 'default' ? 'maxCallTimeout' : 'callTimeout')}: the time that a call has where nobody says (${options.callTimeout} ms) is longer than the longest (${options.maxCallTimeout} ms)`)
  if (options.pongDeadline <= options.pingInterval) {
    // Whichever of the two somebody stated is the one to mend.
    problems.push(from.pongDeadline === 'default'
      ? `${at('pingInterval')} must be shorter than the pong deadline of ${options.pongDeadline} ms`
      : `${at('pongDeadline')} must be longer than the ping interval of ${options.pingInterval} ms`)
  }
  return problems
}

/** A daemon for other zones: its three files, or clear text on this machine. */
function judgeDaemon(options: Options, which: 'link' | 'service', at: (name: OptionName) => string): string[] {
  const own = <K extends string>(name: K): `${typeof which}${K}` => `${which}${name}`
  const files = ([own('Cacertfile'), own('Certfile'), own('Keyfile'), own('Crlfile')] as const).filter((name) => options[name] !== '')
  const granted = which === 'link' ? (['linkGrants'] as const).filter((name) => options[name].length > 0) : []
  const port = own('Port')
  if (options[port] === '') {
    const idle = files[0] ?? granted[0]
    return idle === undefined ? [] : [`${at(idle)} is stated, but no port: state ${port} as well (--${flagName(port)})`]
  }
  if (options[own('Transport')] === 'tcp') {
    const stated = files[0]
    if (stated !== undefined) return [`${at(stated)} is stated, but ${own('Transport')} is tcp, which has no certificates`]
    if (granted[0] !== undefined) return [`${at(granted[0])} are stated, but ${own('Transport')} is tcp, which has no certificates`]
    if (options[own('MatchAddress')]) return [`${at(own('MatchAddress'))} is stated, but ${own('Transport')} is tcp: nobody shows a certificate`]
    // By plain TCP nobody has a name, signed or not: such a rule would shut everybody out.
    const [named] = which === 'service' ? namedIn(options.serviceRules) : []
    if (named !== undefined) return [`${at('serviceRules')} ${named} speaks of names of certificates, but ${own('Transport')} is tcp, which has none`]
    const host = own('Host')
    return options[own('Insecure')] || options[host] === '' || isThisMachine(options[host]) ? [] : [tcpRefused(at(host), `${own('Insecure')} (--${flagName(own('Insecure'))})`)]
  }
  const missing = ([own('Cacertfile'), own('Certfile'), own('Keyfile')] as const).filter((name) => options[name] === '')
  return missing.map((name) => `${at(port)} needs ${name} (--${flagName(name)}; ${which}Server.tls.${name.slice(which.length).toLowerCase()}): "waystation certs" makes it`)
}

function written(name: OptionName, source: string): string {
  if (source === 'command line') return '--' + flagName(name)
  return source === 'environment' ? envName(name) : name
}
