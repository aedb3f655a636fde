import { topicFromBytes, type Topic } from '../../core/topic.ts'

/** What a path asks for. */
export type Target =
  | { readonly role: 'publisher'; readonly key: string; readonly domain: Topic; readonly topic: Topic }
  | { readonly role: 'subscriber'; readonly topic: Topic }

const SLASH = 0x2f
/** With each of its letters as `%XX`; a longer segment need not be decoded. */
const LONGEST_WORD = 9

/**
 * Reads a path (wspubsub, section 2.2): it is split at `/` first, then each segment is decoded for itself, `+` as a space;
 * one slash at the end does not count. Names are bytes, not always text, and a domain holds no slash.
 * @param raw the path as it was sent, behind the prefix that the hub is mounted under
 * @returns `undefined` when the path is not below `/ws/pub` or `/ws/sub`; the status that refuses it when it is no target
 */
export function parseTarget(raw: string): Target | 400 | 404 | undefined {
  const role = roleOf(raw)
  if (role === undefined) return undefined
  const segments = raw.split('/').slice(3)
  if (segments.at(-1) === '') segments.pop()
  if (segments.length !== (role === 'publisher' ? 3 : 2)) return 404
  const names = segments.map(decode)
  const [domain, name] = names.slice(-2)
  if (names.includes(undefined) || domain === undefined || name === undefined || domain.includes(SLASH)) return 400
  const topic = topicFromBytes(Buffer.concat([domain, Buffer.of(SLASH), name]))
  if (role === 'subscriber') return { role, topic }
  return { role, topic, domain: topicFromBytes(domain), key: topicFromBytes(names[0] as Buffer) }
}

function roleOf(raw: string): Target['role'] | undefined {
  // Asked of every request of the port.
  const second = raw.indexOf('/', 1)
  if (second === -1 || raw[0] !== '/' || wordOf(raw.slice(1, second)) !== 'ws') return undefined
  const third = raw.indexOf('/', second + 1)
  const word = wordOf(raw.slice(second + 1, third === -1 ? raw.length : third))
  return word === 'pub' ? 'publisher' : word === 'sub' ? 'subscriber' : undefined
}

function wordOf(segment: string): string | undefined {
  if (segment.length > LONGEST_WORD) return undefined
  return /[%+]/.test(segment) ? decode(segment)?.toString('latin1') : segment
}

/** The bytes that a segment stands for; `undefined` when a percent sign is not followed by two hex digits. */
function decode(segment: string): Buffer | undefined {
  if (/%(?![0-9a-fA-F]{2})/.test(segment)) return undefined
  const bytes = segment.replaceAll('+', ' ').replace(/%(..)/g, (_, hex: string) => String.fromCharCode(Number.parseInt(hex, 16)))
  return Buffer.from(bytes, 'latin1')
}
