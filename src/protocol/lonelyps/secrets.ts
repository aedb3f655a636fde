import { readScheme, type Scheme } from './authorization.ts'

/** What a secrets file says (section 8). */
export interface Secrets {
  /** How subscribers prove who they are. */
  readonly toBroadcaster: Scheme
  /** How the broadcaster does. */
  readonly toSubscriber: Scheme
}

/** A scheme with its secret as text, just as somebody stated it. */
export type StatedScheme = { readonly type: 'none' } | { readonly type: 'token' | 'hmac'; readonly secret: string }

const VERSION = '2'

/** A secrets file, or a sentence that says what is wrong with it, without a secret in it. A direction that is not there has the scheme none. */
export function parseSecrets(text: string): Secrets | string {
  const file = parseObject(text)
  if (file === undefined) return 'The secrets file must hold one JSON object.'
  if (file['version'] !== VERSION) return `The secrets file must have the version "${VERSION}".`
  const toBroadcaster = readMember(file, 'to-broadcaster')
  if (typeof toBroadcaster === 'string') return toBroadcaster
  const toSubscriber = readMember(file, 'to-subscriber')
  if (typeof toSubscriber === 'string') return toSubscriber
  return { toBroadcaster, toSubscriber }
}

/**
 * The text of a secrets file, as the setup of the original writes it: indented by two, with a newline at the end. Secrets
 * stand in it as they were stated: other implementations take the text as it is.
 */
export function formatSecrets({ toBroadcaster, toSubscriber }: { readonly toBroadcaster: StatedScheme; readonly toSubscriber: StatedScheme }): string {
  const file = { version: VERSION, 'to-broadcaster': member(toBroadcaster), 'to-subscriber': member(toSubscriber) }
  return `${JSON.stringify(file, undefined, 2)}\n`
}

function member(stated: StatedScheme): { type: string; secret: string } | undefined {
  return stated.type === 'none' ? undefined : { type: stated.type, secret: stated.secret }
}

function readMember(file: Record<string, unknown>, name: string): Scheme | string {
  if (!Object.hasOwn(file, name)) return { type: 'none' }
  const value = file[name]
  if (!isObject(value)) return `"${name}" must be an object.`
  const { type, secret } = value
  if (type !== 'token' && type !== 'hmac') return `"${name}" must have the type "hmac" or "token".`
  if (typeof secret !== 'string') return `"${name}" must have a secret, a text.`
  const scheme = readScheme(type, secret)
  return typeof scheme === 'string' ? `"${name}": ${scheme}` : scheme
}

function parseObject(text: string): Record<string, unknown> | undefined {
  try {
    const value: unknown = JSON.parse(text)
    return isObject(value) ? value : undefined
  } catch {
    // What JSON.parse says quotes the text, and with it a secret.
    return undefined
  }
}

function isObject(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value)
}
