import { hash } from 'node:crypto'
import type { Message } from '../../../core/message.ts'
import { claims } from '../../../protocol/lonelyps/claims.ts'
import type { Configure, ToSubscriber } from '../../../protocol/lonelyps/stateful/messages.ts'
import { createCompressors, PLAIN_ZSTD } from './compressors.ts'
import { contentOf, type Content } from './contents.ts'
import type { Later } from './later.ts'
import type { SocketParts } from './parts.ts'
import { createTraining, type TrainingStep } from './training.ts'

/** What one socket's messages are compressed with, as the two sides agree on it (lonelyps, section 4.13). */
export interface Compression {
  /** Announces what there is from the start. */
  begin(): void
  /** A message as this socket is to get it now. */
  prepare(message: Message): Later<Content>
  /** The dictionary of a compressor that was announced, 'none' when it has none; `undefined` when it was not. */
  dictionaryOf(compressor: number): Buffer | 'none' | undefined
  /** A message that went either way. */
  sample(body: Buffer): void
  close(): void
}

/** How the other side is told. */
export interface Telling {
  /** Something to be said between messages, and what to write then. */
  say(write: (url: string) => void): void
  send(message: ToSubscriber, body?: Buffer): void
}

const NO_TRACING = Buffer.alloc(0)
const NO_LIMIT = 2n ** 64n - 1n

export function createCompression(parts: SocketParts, configure: Configure, { say, send }: Telling): Compression {
  const { prover, compression, shared, clock, random, budget } = parts
  const { limits } = parts.kit
  const agreed = configure.zstd && compression.allowed === 'yes'
  const compressors = createCompressors(compression)
  const training = agreed && configure.training && compression.training === 'yes' ? createTraining({
    clock, random, budget, tell,
    options: {
      minSize: limits.compressionMinSize,
      maxSize: limits.compressionTrainedMaxSize,
      lowWatermark: limits.trainingLowWatermark,
      highWatermark: limits.trainingHighWatermark,
      retrainInterval: limits.retrainInterval,
    },
  }) : undefined

  function preset(compressor: number, level: number, minSize: number): void {
    say((url) => {
      const said = { compressor, level, minSize, maxSize: NO_LIMIT, tracing: NO_TRACING }
      send({ type: 'enable_zstd_preset', ...said, authorization: prover(claims.enableZstdPreset({ url, ...said, minSize: BigInt(minSize) })) })
      compressors.announced(compressor, said)
    })
  }

  function tell(step: TrainingStep): void {
    const compressor = step.id
    if (step.type === 'disable') {
      return say((url) => {
        send({ type: 'disable_zstd_custom', compressor, tracing: NO_TRACING, authorization: prover(claims.disableZstdCustom({ url, compressor, tracing: NO_TRACING })) })
        compressors.retired(compressor)
      })
    }
    const { level, minSize, dictionary } = step
    say((url) => {
      const said = { compressor, level, minSize, maxSize: BigInt(step.maxSize), sha512: hash('sha512', dictionary, 'buffer'), tracing: NO_TRACING }
      const authorization = prover(claims.enableZstdCustom({ url, ...said, minSize: BigInt(minSize) }))
      send({ type: 'enable_zstd_custom', ...said, authorization, body: dictionary }, dictionary)
      compressors.announced(compressor, step)
    })
  }

  return {
    begin() {
      if (!agreed) return
      // The newest is taken first, so a dictionary of the client's choice comes after zstd without one.
      preset(PLAIN_ZSTD, 3, limits.compressionTrainedMaxSize)
      const own = compression.presets.get(configure.initialDictionary)
      if (own !== undefined) preset(configure.initialDictionary, own.level, limits.compressionMinSize)
    },
    prepare: (message) => contentOf(message, compressors.choose(message.large?.size ?? message.body.length), shared),
    dictionaryOf(compressor) {
      const known = compressors.forIncoming(compressor)
      return typeof known === 'object' ? known.bytes : known
    },
    sample: (body) => training?.sample(body),
    close: () => training?.end(),
  }
}
