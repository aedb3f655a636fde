import assert from 'node:assert/strict'
import { deflateSync } from 'node:zlib'
import { test } from 'node:test'
import { WaystationError } from '../../src/core/errors.ts'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Atom, Port, Tuple, type Term } from '../../src/protocol/etf/term.ts'
import { createPublicHub, type ReceivedMessage } from '../../src/server/public-hub.ts'
import { createTestHub } from '../../src/testing/index.ts'

const TERM = 'application/x-erlang-term'
const published: string[] = []
const { hub, log } = createTestHub()
const { hub: program } = createPublicHub(hub, { published: (transport, bytes) => void published.push(`${transport} ${bytes}`), delivered() {}, slow() {}, gap() {}, failed() {} })

async function heard(body: string | Uint8Array, contentType: string): Promise<[text: string, contentType: string, term: string | undefined]> {
  await using reading = program.subscribe('a')
  await program.publish('a', body, contentType)
  const { value } = await reading.next() as { value: ReceivedMessage }
  assert.equal('term' in value, value.term !== undefined)
  return [value.body.toString('latin1'), value.contentType, value.term === undefined ? undefined : Buffer.from(value.term).toString('hex')]
}
function hex(term: Term): string {
  return encode(term).toString('hex')
}

test('a program publishes an Erlang term: others see JSON, and the term is there for who wants it', async () => {
  const term = new Tuple(new Atom('ok'), [1, 2])
  const shown = ['{"$tuple":[{"$atom":"ok"},[1,2]]}', 'application/json', hex(term)]
  assert.deepEqual(await heard(encode(term), TERM), shown)
  assert.equal(published.at(-1), `embedded ${encode(term).length}`)
  assert.deepEqual(await heard(new Uint8Array([...encode(term), 1, 2]), TERM), shown, 'what is behind the term is cut off')
  const inner = encode(term).subarray(1)
  const compressed = Buffer.concat([Buffer.of(131, 80, 0, 0, 0, inner.length), deflateSync(inner)])
  assert.deepEqual(await heard(compressed, TERM), shown, 'compressed')
})

test('a term that is a binary is its bytes, and other bodies have no term', async () => {
  assert.deepEqual(await heard(encode('hello'), TERM), ['hello', 'text/plain; charset=utf-8', undefined])
  assert.deepEqual(await heard(encode(Buffer.of(255)), TERM), ['\xff', 'application/octet-stream', undefined])
  assert.deepEqual(await heard('{"a":1}', 'application/json'), ['{"a":1}', 'application/json', undefined])
})

test('what is no term, or holds a function or a port, is refused and published to nobody', async () => {
  const { head } = log
  for (const body of ['', 'text', Buffer.of(131), Buffer.of(131, 97), encode([1, new Port('a@b', 1, 2)]), Buffer.from('837103', 'hex')]) {
    await assert.rejects(program.publish('a', body, TERM), (error) => error instanceof WaystationError && error.code === 'bad_request')
  }
  assert.equal(log.head, head)
})
