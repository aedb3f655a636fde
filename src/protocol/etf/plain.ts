import { asBuffer, open, type DecodeOptions } from './envelope.ts'
import { VERSION } from './tags.ts'

/**
 * The same term uncompressed, with its 131 and nothing behind it: the same bytes where it was so, else a view or a copy.
 * @throws EtfError as `scan` does
 */
export function plain(bytes: Uint8Array, options: DecodeOptions = {}): Buffer {
  const input = asBuffer(bytes)
  const { end, inflated } = open(input, options, 'check')
  if (inflated !== undefined) return Buffer.concat([Buffer.of(VERSION), inflated.bytes.subarray(0, inflated.end)])
  return end === input.length ? input : input.subarray(0, end)
}
