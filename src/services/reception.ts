import type { Duplex } from 'node:stream'
import type { Limits } from '../core/limits.ts'
import type { Clock, RandomBytes } from '../core/ports.ts'
import { createWheel } from '../core/wheel.ts'
import type { BodyAccount } from '../http/body-account.ts'
import { judge, type Judgement } from '../protocol/erps/judge.ts'
import type { Sender, Work } from '../protocol/erps/messages.ts'
import { TERM, writeText } from '../protocol/erps/payload.ts'
import type { DecodeOptions } from '../protocol/etf/decode.ts'
import { createAnswerer, type Answerer } from './answerer.ts'
import { createCallAccount } from './call-account.ts'
import { createCaller, type ServiceCaller } from './caller.ts'
import { openConnection } from './connection.ts'
import { aborted } from './local-caller.ts'
import type { Answering, Brake, Caller, Connection, Ending, Peer } from './ports.ts'
import type { SigningOptions } from './signing.ts'

/** What is told of a worker that has connected. */
export interface WorkerEvents {
  /** It takes no more; what it has it still answers. */
  draining(): void
  /** It is gone. Told before its calls are, so that none of them goes to it again. */
  ended(why: Ending, detail: string): void
}

export interface ReceptionParts {
  readonly clock: Clock
  readonly limits: Limits
  readonly randomBytes: RandomBytes
  /** Towards an original. */
  readonly brake: Brake
  /** What packets must bear (`erps.md`, section 6). */
  readonly judgement: Omit<Judgement, 'signed'>
  readonly signing: SigningOptions | undefined
  readonly decode: DecodeOptions
  /** As `ConnectionParts` has it. */
  readonly unfinished?: BodyAccount | undefined
  /** What answers on a connection that has just been made. */
  readonly answering: (connection: Connection) => Answering
  /** Somebody offers work; without it nobody may. `undefined`: not this one. */
  readonly worked?: ((caller: Caller, work: Work, connection: Connection) => WorkerEvents | undefined) | undefined
  /** Somebody was sent away because of what he did. */
  readonly refused: (why: Ending, who: Peer, detail: string) => void
  /** An error that should not have been: one connection was ended with it. */
  readonly failed: (error: unknown) => void
}

/** Those who have been let in: callers, whose calls are answered, and workers, who are called. Every connection is on its own. */
export interface Reception {
  readonly connections: number
  receive(stream: Duplex, peer: Peer): void
  /** Ends the connections of these. */
  revoke(isRevoked: (stream: Duplex) => boolean): void
  /** Lets nobody in any more, and ends each connection when its calls are answered; at once where the deadline aborts. */
  stop(deadline: AbortSignal): Promise<void>
}

/** ms: how late an end of a call may be told. */
const TICK = 50
/** Whatever they declare, originals that answer say nothing of themselves (2.4). */
const NOBODY: Sender = { version: { major: 0, minor: 0, patch: 0 }, identifier: Buffer.alloc(0) }
/** ms that a worker has to read that it is not wanted. */
const REFUSED_MS = 1_000
/** Ends that are nobody's fault. */
const QUIET: ReadonlySet<Ending> = new Set(['lost', 'stopped'])

interface Here {
  readonly connection: Connection
  readonly isWorker: () => boolean
  readonly drain: () => Promise<void>
}

/** The accepting end of services behind its sockets (`erps.md`, section 8). */
export function createReception(parts: ReceptionParts): Reception {
  const { clock, limits, brake } = parts
  const wheel = createWheel(clock, TICK)
  const account = createCallAccount(limits)
  const here = new Map<Duplex, Here>()
  const judgement: Judgement = { ...parts.judgement, signed: parts.signing === undefined ? 'refused' : 'required' }
  let isStopping = false

  function receive(stream: Duplex, peer: Peer): void {
    if (isStopping) return void stream.destroy()
    let answerer: Answerer | undefined
    let ended = (): void => {}
    let worker: { readonly caller: ServiceCaller; readonly events: WorkerEvents } | undefined

    const connection: Connection = openConnection({
      stream, peer, brake, clock, limits,
      role: 'acceptor',
      sender: NOBODY,
      judge: (packet) => judge(packet, judgement),
      decode: parts.decode,
      unfinished: parts.unfinished,
      randomBytes: parts.randomBytes,
      ...(parts.signing !== undefined && { signing: parts.signing }),
    }, {
      packet(packet, extension) {
        if (worker === undefined) return answerer?.packet(packet, extension)
        if (extension?.kind === 'drain') worker.events.draining()
        else worker.caller.packet(packet, extension)
      },
      shown(work) {
        if (work !== undefined) employ(work)
      },
      ended(why, detail) {
        here.delete(stream)
        if (!QUIET.has(why)) parts.refused(why, peer, detail)
        worker?.events.ended(why, detail)
        worker?.caller.ended(why, detail)
        ended = () => answerer?.ended(why, detail)
        ended()
      },
    })

    function employ(work: Work): void {
      if (answerer === undefined || answerer.pending > 0) return connection.drop('bad_packet', 'it has called before it offered work')
      const caller = createCaller(connection, { clock, limits })
      const told = parts.worked?.(caller, work, connection)
      if (told === undefined) return turnAway(work)
      worker = { caller, events: told }
    }

    /** It hears why, so that it does not come back at once. */
    function turnAway({ service }: Work): void {
      parts.refused('refused', peer, `it offers work for ${service}, which is not taken here`)
      connection.send('error', [TERM, writeText('forbidden')])
      const deadline = new AbortController()
      const untime = clock.after(REFUSED_MS, () => deadline.abort())
      void connection.close(deadline.signal).then(untime)
    }

    here.set(stream, { connection, isWorker: () => worker !== undefined, drain: () => answerer?.drain() ?? Promise.resolve() })
    try {
      answerer = createAnswerer(connection, parts.answering(connection), { limits, wheel, account })
      // The program may have ended it before there was anybody to be told.
      ended()
    } catch (error) {
      parts.failed(error)
      connection.drop('failed', 'the program has failed')
    }
  }

  return {
    get connections() { return here.size },
    receive,
    revoke(isRevoked) {
      for (const [stream, { connection }] of here) if (isRevoked(stream)) connection.drop('revoked', 'its certificate is revoked')
    },
    async stop(deadline) {
      isStopping = true
      const all = [...here.values()]
      const end = async ({ connection, drain }: Here): Promise<void> => {
        await Promise.race([drain(), aborted(deadline)])
        await connection.close(deadline)
      }
      await Promise.all(all.filter((one) => !one.isWorker()).map(end))
      // Until now they were needed for the calls of the others.
      await Promise.all(all.filter((one) => one.isWorker()).map(end))
    },
  }
}
