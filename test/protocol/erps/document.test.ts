import assert from 'node:assert/strict'
import { readFileSync } from 'node:fs'
import { test } from 'node:test'
import { createHead, writePacket } from '../../../src/protocol/erps/packet.ts'
import { openPayload, TERM, tuple2, writeRef, writeText } from '../../../src/protocol/erps/payload.ts'
import { writeExtension } from '../../../src/protocol/erps/extension.ts'
import type { Extension, PacketType } from '../../../src/protocol/erps/messages.ts'
import { createPacketReader } from '../../../src/protocol/erps/reader.ts'

const NIL = Buffer.of(106)

/** The packets of the document by their names; `00*36` is 36 zero bytes. */
function worked(): Map<string, Buffer> {
  const text = readFileSync(new URL('../../../docs/protocols/erps.md', import.meta.url), 'utf8')
  const block = /```hex\n([\s\S]*?)```/.exec(text)?.[1] as string
  const packets = new Map<string, Buffer>()
  let name = ''
  for (const line of block.split('\n').filter((one) => one !== '')) {
    const [, begun, hex] = /^(\w+)? +(.*)$/.exec(line) as unknown as [string, string | undefined, string]
    if (begun !== undefined) name = begun
    const bytes = Buffer.from(hex.replace(/00\*(\d+)/g, (_, times: string) => '00'.repeat(Number(times))).replaceAll(' ', ''), 'hex')
    packets.set(name, Buffer.concat([packets.get(name) ?? Buffer.alloc(0), bytes]))
  }
  return packets
}

test('the worked bytes of the documentation are what is written, and are read as it says', () => {
  const head = createHead({ version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) })
  const write = (type: PacketType, parts: readonly Buffer[], extension?: Extension): Buffer => writePacket(head, type, extension === undefined ? parts : [...parts, writeExtension(extension)])
  const nonce = (from: number): Buffer => Buffer.from(Array.from({ length: 16 }, (_, i) => from + i))
  const terms = { kind: 'terms', deadline: 5_000, times: 'once', key: undefined } as const
  const expected = {
    hello: write('call', tuple2(writeRef(1), writeText('hi')), { kind: 'hello', nonce: nonce(0), work: undefined, terms }),
    welcome: write('reply', tuple2(NIL, NIL), { kind: 'welcome', nonce: nonce(16) }),
    answer: write('reply', tuple2(writeText('ho'), writeRef(1))),
    again: write('call', tuple2(writeRef(2), writeText('hi')), { ...terms, times: 'repeatable', key: Buffer.from('k') }),
  }
  const packets = worked()
  assert.deepEqual([...packets.keys()], Object.keys(expected))
  for (const [name, bytes] of Object.entries(expected)) {
    assert.equal(packets.get(name)?.toString('hex'), bytes.toString('hex'), name)
    const [packet] = [...createPacketReader({ maxBytes: 1_000 }).push(bytes)]
    assert.ok(packet !== undefined)
    const { extension } = openPayload(packet.payload, {})
    assert.equal(extension?.kind, { hello: 'hello', welcome: 'welcome', answer: undefined, again: 'terms' }[name])
  }
  assert.equal(TERM[0], 131)
})
