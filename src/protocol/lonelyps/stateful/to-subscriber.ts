import { createCodec } from './frame.ts'
import { announcedCompressor, authorization, broadcasterNonce, dictionarySha512, glob, identifier, level, maxSize, minSize, part, streamPart, subscribers, topic, tracing } from './headers.ts'
import { isDigestOf } from './integrity.ts'
import type { HeaderForm, ToSubscriber } from './messages.ts'

const bare = { head: 'never', body: 'none' } as const
const exact = { headers: [topic, authorization, tracing], ...bare } as const
const byGlob = { headers: [glob, authorization, tracing], ...bare } as const
const announced = [announcedCompressor, level, minSize, maxSize, authorization, tracing] as const

const codec = createCodec<ToSubscriber>({
  confirm_configure: { number: 1, headers: [broadcasterNonce, authorization, tracing], ...bare },
  confirm_subscribe_exact: { number: 2, ...exact },
  confirm_subscribe_glob: { number: 3, ...byGlob },
  confirm_unsubscribe_exact: { number: 4, ...exact },
  confirm_unsubscribe_glob: { number: 5, ...byGlob },
  confirm_notify: { number: 6, headers: [identifier, subscribers, authorization, tracing], ...bare },
  continue_notify: { number: 7, headers: [identifier, part, authorization, tracing], ...bare },
  receive_stream: { number: 8, headers: [authorization, tracing, identifier, streamPart], head: 'first', body: 'rest' },
  enable_zstd_preset: { number: 9, headers: announced, ...bare },
  enable_zstd_custom: { number: 10, headers: [...announced, dictionarySha512], head: 'never', body: 'rest' },
  disable_zstd_custom: { number: 11, headers: [announcedCompressor, authorization, tracing], ...bare },
  missed: { number: 12, headers: [authorization, tracing, topic], ...bare },
})

/**
 * A frame from a broadcaster (sections 4.2 to 4.5), in either form. What it gives are views of the frame. The SHA-512 of a dictionary
 * is right, because that is what its authorization covers; of a stream's parts nothing is known but their own shape. Never throws.
 * @returns a string says what is wrong with the frame
 */
export function parseToSubscriber(frame: Buffer): ToSubscriber | string {
  const message = codec.parse(frame)
  if (typeof message === 'string' || message.type !== 'enable_zstd_custom') return message
  return isDigestOf(message.sha512, message.body) ? message : 'the dictionary has another SHA-512 than announced'
}

/**
 * All of a frame to a subscriber that stands before its body (sections 4.2 to 4.5).
 * @throws {RangeError} when a value does not fit: a header of more than 65,535 bytes, an identifier of more than 64, a nonce or a digest
 * of another size, a number that is negative, no integer or too large, a glob that is not UTF-8, a head where none belongs or none where one does, lengths that contradict each other
 */
export function encodeToSubscriber(message: ToSubscriber, form: HeaderForm): Buffer {
  return codec.encode(message, form)
}
