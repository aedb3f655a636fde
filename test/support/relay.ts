import { connect, createServer, type AddressInfo, type Socket } from 'node:net'
import { once } from 'node:events'
import type { TestContext } from 'node:test'

/** A TCP relay in front of a port, to break connections as a network does: without a word to either side. */
export interface Relay {
  readonly port: number
  /** Breaks what is open and lets nothing through until `mend`. */
  cut(): void
  mend(): void
}

export async function startRelay(t: TestContext, to: number): Promise<Relay> {
  const open = new Set<Socket>()
  let broken = false
  const server = createServer((near) => {
    near.on('error', () => {})
    if (broken) {
      near.destroy()
      return
    }
    const far = connect(to, '127.0.0.1')
    far.on('error', () => {})
    for (const [one, other] of [[near, far], [far, near]] as const) {
      open.add(one)
      one.pipe(other)
      one.on('close', () => {
        open.delete(one)
        other.destroy()
      })
    }
  })
  server.listen(0, '127.0.0.1')
  await once(server, 'listening')
  const relay: Relay = {
    port: (server.address() as AddressInfo).port,
    cut() {
      broken = true
      for (const one of open) one.destroy()
    },
    mend() {
      broken = false
    },
  }
  t.after(() => {
    relay.cut()
    server.close()
  })
  return relay
}
