import assert from 'node:assert/strict'
import { writeFileSync } from 'node:fs'
import { test, type TestContext } from 'node:test'
import { encode } from '../../src/protocol/etf/encode.ts'
import { Tuple } from '../../src/protocol/etf/term.ts'
import type { Config } from '../../src/server/options.ts'
import { testAuthority, type Made } from '../support/authority.ts'
import { packetBytes, type ErpsClient } from '../support/erps-client.ts'
import { answer, given, hostileHub } from '../support/hostile-services.ts'

// Who may call a hub's services, and work for them, with which certificate.

const RULES = [
  { services: 'payments', callers: ['shop-*'], workers: ['payments-*'] },
  { services: 'closed', call: 'nobody' },
  { services: '*', workers: ['worker-*'] },
] satisfies Config['serviceRules']

async function secureHub(t: TestContext) {
  const authority = await testAuthority(t)
  const files = authority.write({ ...await authority.server(), crl: await authority.list() })
  const crlfile = files.crlfile as string
  const hub = await hostileHub(t, {
    serviceTransport: 'tls', serviceCacertfile: files.cacertfile, serviceCertfile: files.certfile, serviceKeyfile: files.keyfile, serviceCrlfile: crlfile, serviceRules: RULES,
  })
  const proof = ({ cert, key }: Made) => ({ cert, key, ca: authority.ca.cert })
  return {
    hub, authority,
    revoke: async (...gone: Made[]) => writeFileSync(crlfile, await authority.list(gone)),
    caller: async (service: string, made: Made): Promise<ErpsClient> => hub.caller(service, proof(made)),
    worker: async (service: string, made: Made): Promise<ErpsClient> => hub.worker(service, 100, proof(made)),
  }
}

test('a certificate opens the services that the rules give it: whoever names another in a packet is told so, and nobody hears his request', async (t) => {
  const { authority, caller, worker, hub } = await secureHub(t)
  const [shop, edge] = [await authority.client({ cn: 'shop-1' }), await authority.client({ cn: 'edge', dns: ['xshop-1', 'shop'] })]
  const [payments, math] = [await worker('payments', await authority.client({ cn: 'payments-1' })), await worker('math', await authority.client({ cn: 'worker-1' }))]
  const [good, bad] = [await caller('payments', shop), await caller('math', edge)]
  bad.call(1, 'may')
  answer(math, (await given(math)).ref, 'yes')
  assert.deepEqual(await bad.next(), ['reply', new Tuple('yes', 1)])
  // The identifier is of each packet, not of the connection.
  for (const [ref, service] of ['payments', 'closed', 'payments\0', 'PAYMENTS'].entries()) {
    bad.send(packetBytes('cast', encode('must not'), { identifier: service }))
    bad.send(packetBytes('call', encode(new Tuple(ref, 'must not')), { identifier: service }))
    const [type, term] = await bad.next()
    assert.deepEqual([type, (term as Tuple).elements[0]], ['error', service === 'PAYMENTS' ? 'no_service' : 'forbidden'], service)
  }
  good.call(1, 'pay')
  assert.equal((await given(payments)).request, 'pay')
  assert.deepEqual([payments.taken(), math.taken()], [[], []])
  // This machine may call over HTTP where nothing is said of callers' certificates, and nobody what is closed.
  assert.deepEqual([(await hub.post('closed', 1)).status, (await hub.post('unknown', 1)).status], [403, 404])
})

test('who may not work for a name is told so and let go, whatever else he may, and gets none of its calls', async (t) => {
  const { authority, caller, worker, hub } = await secureHub(t)
  const right = await worker('payments', await authority.client({ cn: 'payments-1' }))
  for (const cn of ['worker-1', 'shop-1', 'payments', 'xpayments-1', '*', '']) {
    const wrong = await worker('payments', await authority.client({ cn, dns: ['payments.example'] }))
    assert.deepEqual(await wrong.next(), ['error', 'forbidden'], cn)
    await wrong.ended
    assert.deepEqual(wrong.taken(), [])
  }
  const shop = await caller('payments', await authority.client({ cn: 'shop-1' }))
  for (let ref = 0; ref < 10; ref++) shop.call(ref, ref)
  for (let ref = 0; ref < 10; ref++) assert.equal((await given(right)).request, ref)
  assert.deepEqual(await hub.refused(), { refused: 6 })
})

test('a caller and a worker whose certificates are revoked while they are here go at once, with their calls; all others stay', async (t) => {
  const { authority, caller, worker, hub, revoke } = await secureHub(t)
  const [thief, traitor, honest] = [await authority.client({ cn: 'edge' }), await authority.client({ cn: 'worker-1' }), await authority.client({ cn: 'worker-2' })]
  const [gone, lost] = [await caller('math', thief), await worker('math', traitor)]
  const stays = await caller('math', honest)
  stays.call(1, 'with the traitor')
  await given(lost)
  gone.call(1, 'of the thief')
  const { ref } = await given(lost)
  await revoke(thief, traitor)
  await Promise.all([gone.ended, lost.ended])
  assert.deepEqual([gone.taken(), await stays.next()], [[], ['error', new Tuple('worker_lost', 1)]])
  answer(lost, ref, 'nobody hears it')
  const other = await worker('math', honest)
  stays.call(2, 'with the honest')
  answer(other, (await given(other)).ref, 'yes')
  assert.deepEqual(await stays.next(), ['reply', new Tuple('yes', 2)])
  // Neither comes back.
  for (const made of [thief, traitor]) await assert.rejects(caller('math', made).then((again) => again.ask(1)))
  assert.deepEqual(await hub.refused(), { revoked: 2, certificate: 2 })
  assert.equal(await hub.gauge('waystation_workers{service="math"}'), 1)
})
