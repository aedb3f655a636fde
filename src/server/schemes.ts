import { readFileSync } from 'node:fs'
import { WaystationError } from '../core/errors.ts'
import { readScheme, type Scheme } from '../protocol/lonelyps/authorization.ts'
import { parseSecrets } from '../protocol/lonelyps/secrets.ts'
import type { OptionName, Options } from './options.ts'

type Stated = Pick<Options, 'toBroadcastersAuth' | 'toBroadcastersSecret' | 'toSubscribersAuth' | 'toSubscribersSecret' | 'secretsFile'>

/** How both directions are proved, and whom the hub lets in. */
export interface Schemes {
  readonly toBroadcasters: Scheme
  readonly toSubscribers: Scheme
  readonly letsIn: { readonly subscribers: LetsIn; readonly broadcasters: LetsIn }
}

type LetsIn = 'signed' | 'local' | 'anyone'

/** What is wrong with what is stated, each with the option at fault. Secrets are not in it. The secrets file is not read. */
export function judgeSchemes(stated: Stated): { option: OptionName; fault: string }[] {
  const faults: { option: OptionName; fault: string }[] = []
  const judge = (auth: 'toBroadcastersAuth' | 'toSubscribersAuth', secret: 'toBroadcastersSecret' | 'toSubscribersSecret'): void => {
    const scheme = stated[auth]
    const takesSecret = scheme === 'token' || scheme === 'hmac'
    if (stated.secretsFile !== '' && (stated[secret] !== '' || takesSecret)) {
      faults.push({ option: secret, fault: 'and a secrets file are two answers to one question; state one of them' })
    } else if (!takesSecret && stated[secret] !== '') faults.push({ option: secret, fault: `is stated, but ${auth} is ${scheme}; state token or hmac` })
    else if (takesSecret && stated[secret] === '') faults.push({ option: auth, fault: `is ${scheme}, which needs a secret: state ${secret}, or a secretsFile` })
    else if (takesSecret) {
      const read = readScheme(scheme, stated[secret])
      if (typeof read === 'string') faults.push({ option: secret, fault: `cannot be used: ${read}` })
    }
  }
  judge('toBroadcastersAuth', 'toBroadcastersSecret')
  judge('toSubscribersAuth', 'toSubscribersSecret')
  return faults
}

/**
 * The schemes in force, from options that `judgeSchemes` has nothing to say against.
 * @throws {WaystationError} `config_invalid` when the secrets file cannot be used
 */
export function schemesOf(stated: Stated): Schemes {
  const { toBroadcasters, toSubscribers } = stated.secretsFile === '' ? fromOptions(stated) : fromFile(stated.secretsFile)
  const unsigned = stated.toBroadcastersAuth === 'none' ? 'anyone' : 'local'
  return {
    toBroadcasters,
    toSubscribers,
    letsIn: {
      subscribers: toBroadcasters.type === 'none' ? unsigned : 'signed',
      broadcasters: toSubscribers.type === 'none' ? unsigned : 'signed',
    },
  }
}

function fromOptions(stated: Stated): Pick<Schemes, 'toBroadcasters' | 'toSubscribers'> {
  const read = (auth: string, secret: string): Scheme => {
    if (auth === 'local' || auth === 'none') return { type: 'none' }
    const scheme = readScheme(auth, secret)
    if (typeof scheme === 'string') throw new WaystationError('config_invalid', scheme)
    return scheme
  }
  return { toBroadcasters: read(stated.toBroadcastersAuth, stated.toBroadcastersSecret), toSubscribers: read(stated.toSubscribersAuth, stated.toSubscribersSecret) }
}

function fromFile(file: string): Pick<Schemes, 'toBroadcasters' | 'toSubscribers'> {
  let text: string
  try {
    text = readFileSync(file, 'utf8')
  } catch (error) {
    throw new WaystationError('config_invalid', `${file}: ${(error as Error).message}`, error)
  }
  const secrets = parseSecrets(text)
  if (typeof secrets === 'string') throw new WaystationError('config_invalid', `${file}: ${secrets}`)
  return { toBroadcasters: secrets.toBroadcaster, toSubscribers: secrets.toSubscriber }
}
