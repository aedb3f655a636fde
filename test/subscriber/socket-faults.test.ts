import assert from 'node:assert/strict'
import { randomBytes } from 'node:crypto'
import { test } from 'node:test'
import type { WaystationError } from '../../src/index.ts'
import { createInbox } from '../support/events.ts'
import { openFakeBroadcaster, openSocketSubscriber, sha512, type Line } from '../support/lonelyps-broadcaster.ts'

const NONE = Buffer.alloc(0)
const id = Buffer.from('id')
const topic = Buffer.from('a')
const hello = Buffer.from('hello')
const preset = { type: 'enable_zstd_preset', compressor: 1, level: 3, minSize: 32, maxSize: 2n ** 64n - 1n } as const
const custom = (bytes: Buffer, compressor = 65_536) => ({ ...preset, type: 'enable_zstd_custom', compressor, sha512: sha512(bytes), body: bytes }) as const
const part = (number: number, body: Buffer, identifier = id) => ({ type: 'receive_stream', identifier, part: number, head: undefined, body }) as const
const began = (line: Line): void => line.say({ ...part(0, hello), head: { topic, compressor: 0, compressedLength: 10n, decompressedLength: 10n, sha512: sha512(Buffer.from('hellohello')) } })

const FAULTS: [string, RegExp, (line: Line) => void][] = [
  ['bytes that are no frame', /truncated|unknown/, ({ ws }) => ws.send(Buffer.from('no'))],
  ['a text message', /a text message came/, ({ ws }) => ws.send('text')],
  ['a second CONFIRM_CONFIGURE', /second confirm_configure/, (line) => line.say({ type: 'confirm_configure', nonce: randomBytes(32) })],
  ['an answer to nothing', /came to nothing/, (line) => line.say({ type: 'confirm_subscribe_exact', topic })],
  ['MISSED signed for another place', /authorization of missed is forbidden/, (line) => line.say({ type: 'missed', topic }, 'websocket:x:1')],
  ['a message signed for another place', /authorization of receive_stream is forbidden/, (line) => {
    line.say({ ...part(0, hello), head: { topic, compressor: 0, compressedLength: 5n, decompressedLength: 5n, sha512: sha512(hello) } }, 'websocket:x:1')
  }],
  ['a preset signed for another place', /authorization of enable_zstd_preset/, (line) => line.say(preset, 'websocket:x:1')],
  ['a dictionary signed for another place', /authorization of enable_zstd_custom/, (line) => line.say(custom(hello), 'websocket:x:1')],
  ['DISABLE signed for another place', /authorization of disable_zstd_custom/, (line) => {
    line.say(custom(hello))
    line.say({ type: 'disable_zstd_custom', compressor: 65_536 }, 'websocket:x:1')
  }],
  ['a message that lies about its SHA-512', /another SHA-512/, (line) => line.deliver('a', [hello], { sha512: sha512(NONE) })],
  ['a long message that lies about its SHA-512', /another SHA-512/, (line) => line.deliver('a', [hello, hello], { sha512: sha512(NONE) })],
  ['a message longer than announced', /longer than announced/, (line) => line.deliver('a', [hello, hello], { compressedLength: 9n, decompressedLength: 9n })],
  ['a part without a beginning', /without the one before/, (line) => line.say(part(1, hello))],
  ['a part too many', /without the one before/, (line) => {
    line.deliver('b', [hello], undefined, id)
    line.say(part(1, hello))
  }],
  ['a part that leaves one out', /out of its turn/, (line) => {
    began(line)
    line.say(part(2, hello))
  }],
  ['a part of something else', /out of its turn/, (line) => {
    began(line)
    line.say(part(1, hello, Buffer.from('other')))
  }],
  ['a message inside another', /before the last was whole/, (line) => {
    began(line)
    began(line)
  }],
  ['MISSED between parts', /missed came between/, (line) => {
    began(line)
    line.say({ type: 'missed', topic })
  }],
  ['a preset between parts', /enable_zstd_preset came between/, (line) => {
    began(line)
    line.say(preset)
  }],
  ['a preset twice', /enabled twice/, (line) => {
    line.say(preset)
    line.say(preset)
  }],
  ['a preset that nobody knows', /preset dictionary is not known/, (line) => line.say({ ...preset, compressor: 77 })],
  ['a dictionary with the id of a preset', /id of the presets/, (line) => line.say(custom(hello, 65_535))],
  ['a dictionary that is damaged', /cannot be used/, (line) => line.say(custom(Buffer.concat([Buffer.from('37a430ec', 'hex'), Buffer.alloc(100, 255)])))],
  ['a dictionary of more than 1 MiB', /a dictionary of 1048577 bytes is too large/, (line) => line.say(custom(Buffer.alloc(1_048_577)))],
  ['a fourth dictionary', /more than 3 dictionaries/, (line) => [0, 1, 2, 3].forEach((i) => line.say(custom(hello, 65_536 + i)))],
  ['a level that zstd has not', /has level 23/, (line) => line.say({ ...preset, level: 23 })],
  ['a message with too many empty parts', /too many parts of a message are empty/, (line) => {
    line.deliver('a', [...Array.from({ length: 17 }, () => NONE), hello])
  }],
  ['DISABLE of what is not there', /not there/, (line) => line.say({ type: 'disable_zstd_custom', compressor: 65_536 })],
  ['a message compressed with what was not enabled', /not enabled/, (line) => line.deliver('a', [hello], { compressor: 1 })],
  ['a message that is no zstd', /cannot be decompressed/, (line) => {
    line.say(preset)
    line.deliver('a', [hello], { compressor: 1, decompressedLength: 100n })
  }],
]

for (const [what, why, commit] of FAULTS) {
  test(`${what} ends that connection, and the next one goes on`, async (t) => {
    const fake = await openFakeBroadcaster(t, { pair: ['hmac', 'hmac'] })
    const failures = createInbox<unknown>('failure')
    const one = await openSocketSubscriber(t, [fake, fake], { pair: ['hmac', 'hmac'], failed: failures.push })
    const feed = one.subscribe('a', { onMissed() {} })
    await feed.ready
    const line = await fake.lines.next()
    commit(line)
    assert.equal((await line.closed).code, 1000)
    const { code, detail } = await failures.next() as WaystationError
    assert.equal(code, 'unreachable')
    assert.match(detail, why)
    const next = await fake.lines.next()
    next.deliver('a', [Buffer.from('1')])
    assert.equal(await (await feed.next()).value?.text(), '1')
  })
}

const ANSWERS: [string, RegExp, (line: Line, identifier: Buffer) => void][] = [
  ['another answer than what is due', /confirm_notify was due, and confirm_subscribe_exact came/, (line) => line.say({ type: 'confirm_subscribe_exact', topic })],
  ['an answer about something else', /about something else/, (line) => line.say({ type: 'continue_notify', identifier: id, part: 0 })],
  ['an answer that is wrongly signed', /authorization of confirm_notify is forbidden/, (line, identifier) => {
    const head = { topic: Buffer.from('other'), compressor: 0, compressedLength: 1n, decompressedLength: 1n, sha512: sha512(hello) }
    line.confirmNotify({ type: 'notify', identifier, head, body: NONE, authorization: '', tracing: NONE }, 7)
  }],
]

for (const [what, why, answer] of ANSWERS) {
  test(`${what} ends the connection, and the message goes out again`, async (t) => {
    const fake = await openFakeBroadcaster(t, { pair: ['hmac', 'hmac'] })
    const failures = createInbox<unknown>('failure')
    const isStream = what.includes('something else')
    const one = await openSocketSubscriber(t, [fake, fake], { pair: ['hmac', 'hmac'], failed: failures.push, websocket: { maxMessageSize: isStream ? 600 : 10_000 } })
    const count = one.notify('a', Buffer.alloc(1_000))
    const line = await fake.lines.next()
    const sent = await line.inbox.next()
    assert.equal(sent.type, isStream ? 'notify_stream' : 'notify')
    answer(line, 'identifier' in sent ? sent.identifier : NONE)
    assert.equal((await line.closed).code, 1000)
    assert.match((await failures.next() as WaystationError).detail, why)
    const next = await fake.lines.next()
    const again = await next.inbox.next()
    assert.equal(again.type, sent.type)
    count.catch(() => {})
  })
}

test('a confirmation of another topic, or signed for another place, ends the connection', async (t) => {
  const fake = await openFakeBroadcaster(t, { pair: ['hmac', 'hmac'], manual: true })
  const failures = createInbox<unknown>('failure')
  const one = await openSocketSubscriber(t, [fake, fake, fake], { pair: ['hmac', 'hmac'], failed: failures.push })
  const feed = one.subscribe('a')
  for (const [wrong, url, why] of [['b', '', /about something else/], ['a', 'websocket:x:-1', /is forbidden/]] as const) {
    const line = await fake.lines.next()
    await line.next('subscribe_exact')
    line.say({ type: 'confirm_subscribe_exact', topic: Buffer.from(wrong) }, url)
    await line.closed
    assert.match((await failures.next() as WaystationError).detail, why)
  }
  const line = await fake.lines.next()
  line.confirm(await line.next('subscribe_exact'))
  await feed.ready
})

test('dictionaries that were not asked for end the connection', async (t) => {
  const fake = await openFakeBroadcaster(t)
  for (const [websocket, say] of [[{ training: false }, custom(hello)], [{ compression: false }, preset]] as const) {
    const failures = createInbox<unknown>('failure')
    const one = await openSocketSubscriber(t, fake, { websocket, retries: 1, failed: failures.push })
    const feed = one.subscribe('a')
    await feed.ready
    const line = await fake.lines.next()
    line.say(say)
    await line.closed
    assert.match((await failures.next() as WaystationError).detail, /not asked for/)
    await assert.rejects(feed.next(), { code: 'unreachable' })
  }
})
