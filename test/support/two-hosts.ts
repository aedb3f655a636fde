import type { AddressInfo, Server } from 'node:net'
import type { TestContext } from 'node:test'

/**
 * Two servers on the same free port, the first on 127.0.0.1 and the second on 127.0.0.2, so that one name can lead to
 * either. Closed when the test ends.
 */
export async function listenSideBySide(t: TestContext, first: Server, second: Server): Promise<number> {
  for (const server of [first, second]) t.after(() => server.close())
  for (let attempt = 0; attempt < 20; attempt++) {
    await listen(first, '127.0.0.1', 0)
    const { port } = first.address() as AddressInfo
    try {
      await listen(second, '127.0.0.2', port)
      return port
    } catch {
      // Somebody else has this port on the other address.
      await new Promise((resolve) => first.close(resolve))
    }
  }
  throw new Error('no port is free on both addresses')
}

function listen(server: Server, host: string, port: number): Promise<void> {
  return new Promise((resolve, reject) => {
    server.once('error', reject).listen(port, host, () => {
      server.off('error', reject)
      resolve()
    })
  })
}
