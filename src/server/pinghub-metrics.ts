import type { Server } from 'node:net'
import { WaystationError } from '../core/errors.ts'
import { listen } from '../http/listen.ts'
import { createMetricsPort } from '../transports/pinghub/metrics-port.ts'

/**
 * Opens pinghub's metrics service on the loopback interface.
 * @throws {WaystationError} `listen_failed`
 */
export async function listenPinghubMetrics(port: number, report: () => string): Promise<Server> {
  const server = createMetricsPort(report)
  await listen(server, { host: '127.0.0.1', port }).catch((error: Error) => {
    throw new WaystationError('listen_failed', `metrics: ${error.message}`, error)
  })
  return server
}
