import { createAdmission } from '../../src/http/admission.ts'
import { createLinkDaemon } from '../../src/links/daemon.ts'
import { COMMON_ATOMS } from '../../src/protocol/etf/term.ts'
import { transportContract } from '../../src/testing/index.ts'
import { connectTaker } from '../support/links.ts'
import { transportKit } from '../support/transport-port.ts'

transportContract('a daemon of links', (t) => {
  const transport = createLinkDaemon({
    kit: transportKit({ drainTime: 100 }),
    hubId: () => 'log',
    listen: { port: 0, host: '127.0.0.1' },
    security: { kind: 'tcp' },
    grants: undefined,
    atoms: COMMON_ATOMS,
    admission: createAdmission({ total: 100, perAddress: 100 }),
    events: { refused() {} },
  })
  t.after(() => transport.stop(AbortSignal.abort()))
  return {
    transport,
    async connect(topic) {
      const taker = await connectTaker(t, transport.port)
      const answer = await taker.wish({ topics: [topic] })
      if (answer.kind !== 'ready') throw new Error(answer.kind)
      return {
        next: taker.body,
        freeze: () => void taker.socket.pause(),
        leave: () => void taker.socket.destroy(),
        ended: taker.ended,
      }
    },
  }
})
