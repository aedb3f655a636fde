import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { join } from 'node:path'
import { test } from 'node:test'
import { judgeSchemes, schemesOf } from '../../src/server/schemes.ts'
import { createServer, type Config } from '../../src/index.ts'
import { temporaryFolder } from '../support/certificates.ts'

const KEY = Buffer.alloc(64, 7)
const HMAC = KEY.toString('base64url')
const UNSTATED = { toBroadcastersAuth: 'local', toBroadcastersSecret: '', toSubscribersAuth: 'none', toSubscribersSecret: '', secretsFile: '' } as const
type Stated = Parameters<typeof judgeSchemes>[0]
const stated = (of: Partial<Stated>): Stated => ({ ...UNSTATED, ...of })

test('unless something is stated, nothing is proved, this machine subscribes, and the rest of the world does not', () => {
  assert.deepEqual(judgeSchemes(UNSTATED), [])
  assert.deepEqual(schemesOf(UNSTATED), { toBroadcasters: { type: 'none' }, toSubscribers: { type: 'none' }, letsIn: { subscribers: 'local', broadcasters: 'local' } })
})

test('only whoever states none lets anyone in, and no proof of the other direction opens this one', () => {
  const lets = (of: Partial<Stated>) => schemesOf(stated(of)).letsIn
  assert.deepEqual(lets({ toBroadcastersAuth: 'none' }), { subscribers: 'anyone', broadcasters: 'anyone' })
  assert.deepEqual(lets({ toBroadcastersAuth: 'none', toSubscribersAuth: 'token', toSubscribersSecret: 'x' }), { subscribers: 'anyone', broadcasters: 'signed' })
  assert.deepEqual(lets({ toSubscribersAuth: 'token', toSubscribersSecret: 'x' }), { subscribers: 'local', broadcasters: 'signed' })
  assert.deepEqual(lets({ toBroadcastersAuth: 'hmac', toBroadcastersSecret: HMAC }), { subscribers: 'signed', broadcasters: 'local' })
})

test('each direction has the scheme and the secret that are stated for it', () => {
  const { toBroadcasters, toSubscribers } = schemesOf(stated({ toBroadcastersAuth: 'hmac', toBroadcastersSecret: HMAC, toSubscribersAuth: 'token', toSubscribersSecret: 'a secret' }))
  assert.deepEqual(toBroadcasters, { type: 'hmac', key: KEY })
  assert.deepEqual(toSubscribers, { type: 'token', secret: 'a secret' })
})

const faults: [what: string, of: Partial<Stated>, option: string, says: RegExp][] = [
  ['a token without a secret', { toBroadcastersAuth: 'token' }, 'toBroadcastersAuth', /^is token, which needs a secret: state toBroadcastersSecret/],
  ['hmac without a secret', { toSubscribersAuth: 'hmac' }, 'toSubscribersAuth', /^is hmac, which needs a secret: state toSubscribersSecret/],
  ['a secret that nothing uses, with local', { toBroadcastersSecret: 'sesame' }, 'toBroadcastersSecret', /but toBroadcastersAuth is local/],
  ['a secret that nothing uses, with none', { toSubscribersSecret: 'sesame' }, 'toSubscribersSecret', /but toSubscribersAuth is none/],
  ['hmac with a secret of another size', { toBroadcastersAuth: 'hmac', toBroadcastersSecret: 'sesame' }, 'toBroadcastersSecret', /64 bytes/],
  ['a token that no header can carry', { toSubscribersAuth: 'token', toSubscribersSecret: 'sesame\n' }, 'toSubscribersSecret', /printable ASCII/],
  ['a secret and a file', { toBroadcastersAuth: 'token', toBroadcastersSecret: 'sesame', secretsFile: 'f' }, 'toBroadcastersSecret', /secrets file/],
  ['a scheme and a file', { toSubscribersAuth: 'hmac', secretsFile: 'f' }, 'toSubscribersSecret', /secrets file/],
]
for (const [what, of, option, says] of faults) {
  test(`${what} is one fault of one option, told without the secret`, () => {
    const [fault, ...others] = judgeSchemes(stated(of))
    assert.deepEqual([fault?.option, others], [option, []])
    assert.match(fault?.fault ?? '', says)
    assert.doesNotMatch(fault?.fault ?? '', /sesame/)
    assert.throws(() => createServer(of as Config), (error: Error & { code?: string }) => error.code === 'config_invalid' && !error.message.includes('sesame'))
  })
}

test('a secrets file states both directions; one that is left out is none', (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'secrets.json')
  writeFileSync(file, JSON.stringify({ version: '2', 'to-broadcaster': { type: 'hmac', secret: HMAC } }))
  assert.deepEqual(judgeSchemes(stated({ secretsFile: file })), [])
  assert.deepEqual(schemesOf(stated({ secretsFile: file })), { toBroadcasters: { type: 'hmac', key: KEY }, toSubscribers: { type: 'none' }, letsIn: { subscribers: 'signed', broadcasters: 'local' } })
  writeFileSync(file, JSON.stringify({ version: '2', 'to-subscriber': { type: 'token', secret: 'x' } }))
  assert.deepEqual(schemesOf(stated({ secretsFile: file })).letsIn, { subscribers: 'local', broadcasters: 'signed' })
})

test('a secrets file that is missing or cannot be used is an error that names it, and no secret', (t) => {
  const folder = temporaryFolder(t)
  const file = join(folder, 'secrets.json')
  const refused = (): void => assert.throws(() => createServer({ secretsFile: file }), (error: Error & { code?: string }) => error.code === 'config_invalid' && error.message.includes(file) && !error.message.includes('sesame'))
  refused()
  for (const text of ['', '{', '{"version": "1", "to-broadcaster": {"type": "token", "secret": "sesame"}}', '{"version": "2", "to-broadcaster": {"type": "hmac", "secret": "sesame"}}', '{"version": "2", "to-broadcaster": {"type": "odd", "secret": "sesame"}}']) {
    writeFileSync(file, text)
    refused()
  }
})
