import assert from 'node:assert/strict'
import { test } from 'node:test'
import type { Identity } from '../../src/core/ports.ts'
import { topicFromText, type Topic } from '../../src/core/topic.ts'
import { createAccess } from '../../src/services/access.ts'

const name = (text: string): Topic => topicFromText(text)
const here: Identity = { kind: 'anonymous', local: true, address: '127.0.0.1' }
const stranger: Identity = { kind: 'anonymous', local: false, address: '192.0.2.1' }
const proved: Identity = { kind: 'signed', local: false, address: '192.0.2.1' }
const keyed: Identity = { kind: 'keyed', domain: 'acme', local: false, address: '192.0.2.1' }
const nobodyOwns = (): boolean => false

test('without a rule whoever has proved himself calls, and this machine, and nobody else', () => {
  const access = createAccess([], nobodyOwns)
  assert.deepEqual([here, stranger, proved].map((by) => access.mayCall(name('math'), by, undefined)), [true, false, true])
  assert.equal(access.mayWork(name('math'), ['anybody']), true)
})

test('the first rule that states it counts, whatever a later one says', () => {
  const access = createAccess([
    { services: 'open/*', call: 'anyone' },
    { services: 'shut*', call: 'nobody' },
    { services: '*', workers: ['w*'] },
    { services: '*', call: 'local', workers: ['*'] },
  ], nobodyOwns)
  const asked: [string, Identity, boolean][] = [['open/a', stranger, true], ['shut', here, false], ['shut', proved, false], ['else', here, true], ['else', proved, false]]
  for (const [service, by, may] of asked) assert.equal(access.mayCall(name(service), by, undefined), may, `${service} by ${by.kind}`)
  assert.deepEqual(['w1', 'x'].map((one) => access.mayWork(name('open/a'), [one])), [true, false])
})

test('callers are told apart by the names of their certificates, and one without a name is none of them', () => {
  const access = createAccess([{ services: 'math', callers: ['edge*'] }], nobodyOwns)
  assert.deepEqual([['edge1', '10.0.0.1'], ['other'], []].map((names) => access.mayCall(name('math'), proved, names)), [true, false, false])
  assert.equal(access.mayCall(name('math'), here, undefined), true)
  assert.equal(access.mayCall(name('else'), proved, ['other']), true)
})

test('under a domain that has an API key nobody calls without a proof, and a key opens its own domain only', () => {
  const access = createAccess([{ services: '*', call: 'anyone' }], (topic) => topic.startsWith('acme/'))
  assert.deepEqual([here, stranger, proved, keyed].map((by) => access.mayCall(name('acme/math'), by, undefined)), [false, false, true, true])
  const signed = createAccess([{ services: '*', call: 'signed' }], nobodyOwns)
  assert.deepEqual([signed.mayCall(name('acme/math'), keyed, undefined), signed.mayCall(name('other/math'), keyed, undefined)], [true, false])
})
