import assert from 'node:assert/strict'
import { test } from 'node:test'
import { readExtension, writeExtension } from '../../../src/protocol/erps/extension.ts'
import type { Extension } from '../../../src/protocol/erps/messages.ts'

const nonce = Buffer.from('0123456789abcdef')
const KINDS: readonly Extension[] = [
  { kind: 'hello', nonce, work: undefined },
  { kind: 'hello', nonce, work: { service: 'x', slots: 1 } },
  { kind: 'hello', nonce, work: { service: 'größe/€', slots: 0xffff_ffff } },
  { kind: 'hello', nonce, work: { service: 'n'.repeat(255), slots: 64 } },
  { kind: 'welcome', nonce },
  { kind: 'terms', deadline: 0, times: 'once', key: undefined },
  { kind: 'terms', deadline: 0xffff_ffff, times: 'once', key: undefined },
  { kind: 'terms', deadline: 1, times: 'repeatable', key: Buffer.from('k') },
  { kind: 'terms', deadline: 1, times: 'once', key: Buffer.alloc(255, 7) },
  { kind: 'hello', nonce, work: undefined, terms: { kind: 'terms', deadline: 1, times: 'once', key: Buffer.from('k') } },
  { kind: 'drain' },
  { kind: 'cancel' },
]

/** What the first bytes of an extension are, as a reader of the document would write them. */
const WRITTEN: readonly (readonly [Extension, string])[] = [
  [{ kind: 'hello', nonce, work: undefined }, `5779537401 01 ${nonce.toString('hex')} 00`],
  [{ kind: 'hello', nonce, work: { service: 'ab', slots: 258 } }, `5779537401 01 ${nonce.toString('hex')} 01 00000102 02 6162`],
  [{ kind: 'welcome', nonce }, `5779537401 02 ${nonce.toString('hex')}`],
  [{ kind: 'terms', deadline: 5_000, times: 'once', key: undefined }, '5779537401 03 00001388 00 00'],
  [{ kind: 'terms', deadline: 5_000, times: 'repeatable', key: Buffer.from('k') }, '5779537401 03 00001388 01 01 6b'],
  [{ kind: 'hello', nonce, work: undefined, terms: { kind: 'terms', deadline: 5_000, times: 'once', key: undefined } }, `5779537401 01 ${nonce.toString('hex')} 00 5779537401 03 00001388 00 00`],
  [{ kind: 'drain' }, '5779537401 04'],
  [{ kind: 'cancel' }, '5779537401 05'],
]

test('every extension is read as it was written, wherever it stands', () => {
  for (const extension of KINDS) {
    for (const before of [0, 1, 200]) assert.deepEqual(readExtension(Buffer.concat([Buffer.alloc(before, 7), writeExtension(extension)]), before), extension)
  }
})

test('the bytes of extensions stay as they are', () => {
  for (const [extension, bytes] of WRITTEN) assert.equal(writeExtension(extension).toString('hex'), bytes.replaceAll(' ', ''))
})

test('what is cut, or followed by anything, is no extension', () => {
  for (const extension of KINDS) {
    const bytes = writeExtension(extension)
    // A hello without the terms behind it is one.
    const alone = extension.kind === 'hello' && extension.terms !== undefined ? writeExtension({ kind: 'hello', nonce, work: extension.work }).length : -1
    for (let size = 0; size < bytes.length; size++) if (size !== alone) assert.equal(readExtension(bytes.subarray(0, size), 0), undefined, `${extension.kind} ${size}`)
    for (const more of [1, 4, 300]) assert.equal(readExtension(Buffer.concat([bytes, Buffer.alloc(more)]), 0), undefined)
    assert.equal(readExtension(Buffer.concat([bytes, bytes]), 0), undefined)
  }
})

test('another magic, version or kind, and fields that cannot be, are no extension', () => {
  for (const extension of KINDS) {
    for (let at = 0; at < 6; at++) {
      for (const flip of [1, 128, 255]) {
        const bytes = writeExtension(extension)
        bytes[at] = (bytes[at] as number) ^ flip
        const found = readExtension(bytes, 0)
        // A drain that calls itself a cancel is one.
        if (at !== 5) assert.equal(found, undefined, `${extension.kind} ${at}`)
        else assert.notDeepEqual(found, extension)
      }
    }
  }
  const hello = writeExtension({ kind: 'hello', nonce, work: { service: 'abc', slots: 1 } })
  for (const [at, value] of [[22, 0], [22, 2], [26, 0], [27, 2], [27, 4], [27, 0], [28, 0xff]] as const) {
    const bytes = Buffer.from(hello)
    bytes[at] = value
    assert.equal(readExtension(bytes, 0), undefined, `byte ${at} is ${value}`)
  }
})

test('a worker for a service without a name is no extension', () => {
  const hello = writeExtension({ kind: 'hello', nonce, work: { service: 'a', slots: 1 } })
  hello[27] = 0
  assert.equal(readExtension(hello.subarray(0, 28), 0), undefined)
})

test('a deadline is whole ms, rounded up, and as long as fits', () => {
  for (const [deadline, read] of [[0.2, 1], [4_999.5, 5_000], [-3, 0], [Infinity, 0xffff_ffff], [2 ** 40, 0xffff_ffff]] as const) {
    assert.deepEqual(readExtension(writeExtension({ kind: 'terms', deadline, times: 'once', key: undefined }), 0), { kind: 'terms', deadline: read, times: 'once', key: undefined })
  }
})

test('what no other end would take is not written', () => {
  const work = (service: string, slots: number): Extension => ({ kind: 'hello', nonce, work: { service, slots } })
  for (const extension of [work('', 1), work('ü'.repeat(128), 1), work('a', 0), work('a', 0.5), work('a', 2 ** 32), { kind: 'welcome', nonce: nonce.subarray(1) }, { kind: 'hello', nonce: Buffer.alloc(17), work: undefined }] as const) {
    assert.throws(() => writeExtension(extension), RangeError)
  }
})
