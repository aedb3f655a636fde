import type { AddressInfo } from 'node:net'

/** What a measured server says to the bench, over the channel that `node:child_process` opens. */
export type FromServer = { ready: number; services?: number | undefined } | { usage: Usage }

/** What a process has used up: CPU seconds since its start, and bytes of memory now and at the most. */
export interface Usage {
  readonly cpu: number
  readonly rss: number
  readonly peak: number
}

/**
 * Called by a measured server when it listens. It then answers when asked what it has used, which is needed where the
 * system has no `/proc`, and ends when the bench lets go of it, however the bench ends.
 * @param services a second port, where services are
 */
export function listening(port: AddressInfo['port'], services?: number): void {
  process.on('message', () => {
    const { user, system } = process.cpuUsage()
    const peak = process.resourceUsage().maxRSS * 1024
    process.send?.({ usage: { cpu: (user + system) / 1e6, rss: process.memoryUsage.rss(), peak } } satisfies FromServer)
  })
  process.on('disconnect', () => process.exit(0))
  process.send?.({ ready: port, services } satisfies FromServer)
}
