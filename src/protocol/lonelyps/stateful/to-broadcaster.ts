import { createCodec } from './frame.ts'
import { authorization, glob, identifier, initialDictionary, part, receivedBy, streamPart, subscriberNonce, topic, tracing, training, zstd } from './headers.ts'
import { isDigestOf } from './integrity.ts'
import type { HeaderForm, ToBroadcaster } from './messages.ts'

const bare = { head: 'never', body: 'none' } as const

const codec = createCodec<ToBroadcaster>({
  configure: { number: 1, headers: [subscriberNonce, zstd, training, initialDictionary, authorization, tracing], ...bare },
  subscribe_exact: { number: 2, headers: [authorization, tracing, topic], ...bare },
  subscribe_glob: { number: 3, headers: [authorization, tracing, glob], ...bare },
  unsubscribe_exact: { number: 4, headers: [authorization, tracing, topic], ...bare },
  unsubscribe_glob: { number: 5, headers: [authorization, tracing, glob], ...bare },
  notify: { number: 6, headers: [authorization, tracing, identifier], head: 'always', body: 'rest' },
  notify_stream: { number: 7, headers: [authorization, tracing, identifier, streamPart], head: 'first', body: 'rest' },
  continue_receive: { number: 8, headers: [identifier, part, authorization, tracing], ...bare },
  confirm_receive: { number: 9, headers: [identifier, authorization, tracing, receivedBy], ...bare },
})

/**
 * A frame from a subscriber (sections 4.2 to 4.5), in either form. What it gives are views of the frame. Of NOTIFY the length and
 * the SHA-512 of the body are right; of a stream's parts nothing is known but their own shape. Never throws.
 * @returns a string says what is wrong with the frame
 */
export function parseToBroadcaster(frame: Buffer): ToBroadcaster | string {
  const message = codec.parse(frame)
  if (typeof message === 'string' || message.type !== 'notify') return message
  const { head, body } = message
  if (BigInt(body.length) !== head.compressedLength) return 'the body has another length than announced'
  return isDigestOf(head.sha512, body) ? message : 'the body has another SHA-512 than announced'
}

/**
 * All of a frame to a broadcaster that stands before its body (sections 4.2 to 4.5).
 * @throws {RangeError} when a value does not fit: a header of more than 65,535 bytes, an identifier of more than 64, a nonce or a digest
 * of another size, a number that is negative, no integer or too large, a glob that is not UTF-8, a head where none belongs or none where one does, lengths that contradict each other
 */
export function encodeToBroadcaster(message: ToBroadcaster, form: HeaderForm): Buffer {
  if (message.type === 'notify' && BigInt(message.body.length) !== message.head.compressedLength) {
    throw new RangeError(`a body of ${message.body.length} bytes is announced with ${message.head.compressedLength}`)
  }
  return codec.encode(message, form)
}
