import type { TestContext } from 'node:test'
import { temporaryFolder } from './certificates.ts'
import { waystation, type TestProcess } from './process.ts'

/** A hub in a process of its own, as a user runs it. */
export interface HubProcess extends TestProcess {
  readonly url: string
  readonly port: number
  /** The sum over all labels of the metrics whose name begins with this; with a label, of the line that has it. */
  metric(name: string): Promise<number>
}

export async function startHubProcess(t: TestContext, ...args: string[]): Promise<HubProcess> {
  const hub = waystation(t, ['serve', '--addr', '127.0.0.1:0', '--data-dir', temporaryFolder(t), ...args])
  await hub.says(/listens on https?:\/\/127\.0\.0\.1:\d+/)
  const url = /https?:\/\/127\.0\.0\.1:\d+/.exec(hub.stdout())?.[0] as string
  return Object.assign(hub, {
    url,
    port: Number(new URL(url).port),
    async metric(name: string) {
      const page = await (await fetch(`${url}/_/metrics`)).text()
      const lines = page.split('\n').filter((line) => line.startsWith(name) && ' {'.includes(line[name.length] ?? ' '))
      return lines.reduce((sum, line) => sum + Number(line.split(' ').at(-1)), 0)
    },
  })
}
