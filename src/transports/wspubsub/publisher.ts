import { WaystationError } from '../../core/errors.ts'
import type { HubPort, Identity } from '../../core/ports.ts'
import type { Topic } from '../../core/topic.ts'
import type { TransportKit } from '../../core/transport-kit.ts'
import { clientOf, type BodyAccount } from '../../http/body-account.ts'
import { CLOSE, type Unfinished, type WebSocketConnection } from '../../http/websocket-connection.ts'

/** One publisher that has been let in (wspubsub, section 3.1). */
export interface Publisher {
  receive(data: Buffer, binary: boolean): void
  /** Bytes came in; the messages that they complete were received before, and this is left. */
  arrived(unfinished: Unfinished): void
  /** Ends it: somebody else may publish from now on. */
  end(code: number, reason: string): void
  /** The connection is gone, or as good as gone. */
  gone(): void
}

export interface PublisherParts {
  readonly kit: TransportKit
  readonly hub: HubPort
  readonly bodies: BodyAccount
  readonly connection: Pick<WebSocketConnection, 'close' | 'open'>
  readonly topic: Topic
  readonly identity: Identity
  /** Gives up the topic. Called once. */
  readonly leave: () => void
}

/** Less is not booked: most messages are short. */
const UNBOOKED = 4_096
const MIB = 1_048_576

export function createPublisher({ kit, hub, bodies, connection, topic, identity, leave }: PublisherParts): Publisher {
  const { limits, meter, wheel } = kit
  const account = clientOf(identity.address)
  let here = true
  let booked = 0
  /** Of the message that is on its way. */
  let [number, bytes, since] = [0, 0, 0]

  /** Looks at a message that takes long. */
  const watch = {
    wheelSlot: undefined as Parameters<typeof wheel.add>[0]['wheelSlot'],
    tick(now: number): number {
      const due = since + limits.requestTimeout * (1 + Math.floor(bytes / MIB))
      if (now < due) return due - now
      end(CLOSE.forbidden, 'a message that was begun does not come')
      return 0
    },
  }

  function book(kept: number): boolean {
    const more = (kept > UNBOOKED ? kept : 0) - booked
    if (more > 0 && !bodies.take(account, more)) return false
    if (more < 0) bodies.give(account, -more)
    booked += more
    return true
  }

  function gone(): void {
    book(0)
    wheel.remove(watch)
    if (!here) return
    here = false
    leave()
  }

  function end(code: number, reason: string): void {
    if (!here) return
    gone()
    connection.close(code, reason)
  }

  function failed(error: unknown): void {
    if (error instanceof WaystationError && error.code === 'forbidden') end(CLOSE.forbidden, 'a rule does not allow publishing here')
    else end(CLOSE.tryLater, 'the message could not be taken')
  }

  return {
    receive(body, binary) {
      if (!here) return
      try {
        // What was sent as bytes stays bytes, also when they are UTF-8 by chance.
        const published = hub.publish({ topic, body, contentType: binary ? 'application/octet-stream' : 'text/plain; charset=utf-8', text: !binary, framed: true }, identity)
        meter.published('wspubsub', body.length)
        if (published instanceof Promise) published.catch(failed)
      } catch (error) {
        failed(error)
      }
    },
    arrived(unfinished) {
      if (!here) return
      // It has said goodbye, or was told to go; until the connection ends, nothing more comes from it.
      if (!connection.open) return gone()
      bytes = unfinished.bytes
      if (bytes === 0) wheel.remove(watch)
      else if (unfinished.number !== number) {
        number = unfinished.number
        since = wheel.now
        wheel.add(watch, limits.requestTimeout)
      }
      if (!book(unfinished.kept)) end(CLOSE.tryLater, 'too much is on its way')
    },
    end,
    gone,
  }
}
