import { compilePattern } from '../../../src/core/pattern.ts'
import { exactly } from '../../../src/core/interest.ts'
import type { HubPort } from '../../../src/core/ports.ts'
import type { Topic } from '../../../src/core/topic.ts'
import { createBodyAccount } from '../../../src/http/body-account.ts'
import { createOrigins } from '../../../src/http/origin.ts'
import { transportContract, type TransportClient } from '../../../src/testing/index.ts'
import { createWspubsub } from '../../../src/transports/wspubsub/wspubsub.ts'
import { admitAll, anonymous, listenWith, transportKit } from '../../support/transport-port.ts'
import { connect } from '../../support/websocket.ts'

transportContract('wspubsub', async (t) => {
  const kit = transportKit({ drainTime: 100 })
  const transport = createWspubsub({
    kit, bodies: createBodyAccount(1_000_000), origins: createOrigins([]), admit: admitAll, identify: anonymous,
    keys: { check: () => 'bad', hold: () => () => {} },
    standing: [compilePattern('*')],
    checked() {},
    log: { info() {} },
  })
  const port = await listenWith(t, transport.route, kit)
  return {
    transport: { ...transport, start: (hub) => transport.start(below(hub)) },
    async connect(topic): Promise<TransportClient> {
      const client = await connect(t, `ws://127.0.0.1:${port}/ws/sub/${DOMAIN}/${topic}`)
      return {
        next: () => client.next(),
        freeze: () => client.ws.pause(),
        leave: () => client.ws.terminate(),
        ended: client.closed,
      }
    },
  }
})

const DOMAIN = 'contract'

/** The contract's topics have no domain; this protocol's always have one. */
function below(hub: HubPort): HubPort {
  const name = (topic: Topic): Topic => topic.slice(DOMAIN.length + 1) as Topic
  return {
    ...hub,
    may: (verb, topic, by) => hub.may(verb, name(topic), by),
    join: ({ topics }, subscriber) => hub.join(exactly(name(topics[0] as Topic)), subscriber),
  }
}
