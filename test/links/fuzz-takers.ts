import assert from 'node:assert/strict'
import { connect } from 'node:net'
import { test } from 'node:test'
import { parseArgs } from 'node:util'
import { interestIn } from '../../src/core/interest.ts'
import { keepaliveFrame, subscribeFrame } from '../../src/protocol/pony-express/from-taker.ts'
import { createRecorder } from '../../src/testing/recorders.ts'
import { createSeededRandom, type SeededRandom } from '../../src/testing/seeded-random.ts'
import { until } from '../support/events.ts'
import { startLinkDaemon } from '../support/links.ts'
import { packets, frameOf } from '../protocol/pony-express/vectors.ts'

/** Whole conversations of takers, to be spoiled; and everything that a giver says, which a taker must not. */
const CORPUS: readonly Buffer[] = [
  ...packets.flatMap((packet) => [frameOf(packet, 'utf8'), frameOf(packet, 'latin1')]).filter((frame) => frame !== undefined && frame.length < 2_000),
  subscribeFrame(Buffer.from('a'), { hub: 'h', topics: [Buffer.from('a'), Buffer.from('b')], patterns: ['a*', '[!b]?'], after: { epoch: 'e', offset: 70_000 } }),
  subscribeFrame(Buffer.from('a'), { hub: 'h', topics: [], patterns: ['**/x', '*'], after: undefined }),
  Buffer.concat([subscribeFrame(Buffer.from('a')), subscribeFrame(Buffer.from('b')), keepaliveFrame]),
  keepaliveFrame,
] as Buffer[]

const TOKENS = ['83', '8350000000ff', '6affffffff', '6d7fffffff', '69ffffffff', '6c00ffffff', '7109', '77066d657373616765', '770670756273756277', '0744074500000000', '07440745', 'ffffffff', '74ffffffff', '62ffffffff', '6e08ffffffffffffffffff'].map((hex) => Buffer.from(hex, 'hex'))

/** A conversation with up to five things wrong in it. The lengths of its frames are put right again in two of three. */
function spoiled(random: SeededRandom): Buffer {
  let bytes = Buffer.concat(Array.from({ length: 1 + random.below(3) }, () => random.pick(CORPUS)))
  const head = random.below(3) === 0 ? 0 : 8
  for (let left = random.below(6); left > 0; left--) {
    const at = head + random.below(Math.max(1, bytes.length - head))
    const [before, after] = [bytes.subarray(0, at), bytes.subarray(at)]
    switch (random.below(6)) {
      case 0: bytes = Buffer.concat([before, Buffer.of(random.below(256)), after.subarray(1)]); break
      case 1: bytes = Buffer.concat([before, random.pick(TOKENS), after]); break
      case 2: bytes = Buffer.concat([before, random.pick(TOKENS), after.subarray(random.below(9))]); break
      case 3: bytes = Buffer.concat([before, after.subarray(1 + random.below(9))]); break
      case 4: bytes = Buffer.concat([before, after.subarray(0, 9), after]); break
      default: bytes = before
    }
  }
  if (head === 8 && bytes.length > 8 && random.below(3) > 0) {
    bytes = Buffer.from(bytes)
    bytes.writeUInt32BE(bytes.length - 8, 4)
  }
  return bytes
}

/** How many are there at once. */
const TOGETHER = 32

/**
 * Takers that send what nobody should, one input to a connection, to a daemon over plain TCP. The same seed sends the same.
 * Gives how many inputs there were; settles when all connections are over.
 */
export async function fuzzTakers({ inputs, seed, port }: { inputs: number; seed: number; port: number }): Promise<number> {
  const random = createSeededRandom(seed)
  let sent = 0
  async function lane(): Promise<void> {
    while (sent < inputs) {
      sent++
      const bytes = spoiled(random)
      await new Promise<void>((resolve, reject) => {
        const socket = connect({ port, host: '127.0.0.1' }, () => socket.end(bytes))
        socket.on('error', (error: NodeJS.ErrnoException) => {
          if (error.code === 'ECONNREFUSED') reject(error)
        })
        socket.on('close', () => resolve())
        socket.resume()
      })
    }
  }
  await Promise.all(Array.from({ length: TOGETHER }, lane))
  return sent
}

if (import.meta.main) {
  const { values } = parseArgs({ options: { inputs: { type: 'string', default: '100000' }, seed: { type: 'string', default: '1' } } })
  test(`${values.inputs} inputs of takers publish nothing (seed ${values.seed})`, async (t) => {
    const daemon = await startLinkDaemon(t)
    const everything = createRecorder()
    daemon.hub.join(interestIn(['*']), everything)
    assert.equal(await fuzzTakers({ inputs: Number(values.inputs), seed: Number(values.seed), port: daemon.port }), Number(values.inputs))
    await until(() => daemon.daemon.takers === 0, 'all are gone')
    assert.deepEqual(everything.arrivals, [])
    assert.equal(daemon.log.head, 0)
    assert.equal(daemon.hub.topics + daemon.hub.patterns, 1)
  })
}
