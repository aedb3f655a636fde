import { asBuffer, open, type DecodeOptions } from './envelope.ts'

/**
 * Whether `decode` would take these bytes, without making anything of them. Only the keys of maps take memory, while their
 * map is read, and what is compressed is inflated.
 * @returns the place behind the term
 * @throws EtfError as `decode` does, but for the memory that the values would take
 */
export function scan(bytes: Uint8Array, options: DecodeOptions = {}): number {
  return open(asBuffer(bytes), options, 'check').end
}
