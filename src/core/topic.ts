import { isUtf8 } from 'node:buffer'

/**
 * A topic in memory: any byte string, kept as a JavaScript string so that it is cheap as a map key and readable in
 * logs. Bytes that are valid UTF-8 are the text they spell. Any other bytes are kept one by one: below 0x80 as
 * themselves, the rest as the lone surrogates U+DC80 to U+DCFF, which no valid UTF-8 can produce, so that the two
 * forms never meet and the way back is exact.
 */
export type Topic = string & { readonly __brand: 'Topic' }

/** The topic that these bytes name. Lossless: `topicToBytes` gives the same bytes back. */
export function topicFromBytes(bytes: Uint8Array): Topic {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength)
  if (isUtf8(buffer)) return buffer.toString('utf8') as Topic
  // As UTF-16, lower byte first: appending to a string byte by byte takes ten times as long.
  const units = Buffer.allocUnsafe(2 * buffer.length)
  for (let i = 0; i < buffer.length; i++) {
    const byte = buffer[i] as number
    units[2 * i] = byte
    units[2 * i + 1] = byte < 0x80 ? 0 : 0xdc
  }
  return units.toString('utf16le') as Topic
}

/**
 * The topic that this text names.
 * @throws {RangeError} when the text has a lone surrogate: it is then no text and would collide with raw bytes
 */
export function topicFromText(text: string): Topic {
  if (!text.isWellFormed()) throw new RangeError('a topic given as text must be well-formed Unicode')
  return text as Topic
}

/** The bytes of a topic. */
export function topicToBytes(topic: Topic): Buffer {
  if (topicIsText(topic)) return Buffer.from(topic, 'utf8')
  // It keeps the lower byte of each unit.
  return Buffer.from(topic, 'latin1')
}

/** Whether the topic's bytes are valid UTF-8. Patterns match only such topics. */
export function topicIsText(topic: Topic): boolean {
  return topic.isWellFormed()
}

/** The topic as it stands in a URL path, without the leading slash: safe in a header, a log line or an SSE field. */
export function topicToUrl(topic: Topic): string {
  if (topicIsText(topic)) return topic.split('/').map(encodeURIComponent).join('/')
  let out = ''
  for (const byte of topicToBytes(topic)) {
    const char = String.fromCharCode(byte)
    out += /[A-Za-z0-9\-_.~/]/.test(char) ? char : '%' + byte.toString(16).toUpperCase().padStart(2, '0')
  }
  return out
}
