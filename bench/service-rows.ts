import { mkdtempSync, rmSync } from 'node:fs'
import { tmpdir } from 'node:os'
import { join } from 'node:path'
import { writeCertificates } from './link-certificates.ts'
import { observe, type Observed } from './measure.ts'
import { common, withHub, type Found, type Place } from './place.ts'
import { startServer, type MeasuredServer } from './processes.ts'
import type { Row } from './scenarios.ts'
import type { AnswererOptions } from './service-answerer.ts'
import type { ServiceOptions, ServiceScenario } from './service-options.ts'
import type { WorkerOptions } from './service-worker.ts'
import type { CallBy, CallsTask } from './task.ts'

type ServicePlace = Place<ServiceOptions>
type ServiceRow = Row<ServiceScenario, ServiceOptions>

/** The service of the hub. */
const SERVICE = 'bench'
export const NAMES: Readonly<Record<CallBy, string>> = { 'erps-tls': 'Waystation, TLS', 'erps-tcp': 'Waystation, TCP', grpc: 'gRPC, TLS', http: 'HTTP/1.1, TCP' }
const SERVERS: Readonly<Record<CallBy, string>> = { 'erps-tls': 'service-answerer.ts', 'erps-tcp': 'service-answerer.ts', grpc: 'peers/grpc-echo.ts', http: 'peers/http-echo.ts' }

/** @param by who needs them; an empty folder where he does not */
async function withCertificates<T>(by: CallBy | 'hub', use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), 'waystation-bench-services-'))
  try {
    if (by !== 'erps-tcp' && by !== 'http') await writeCertificates(folder)
    return await use(folder)
  } finally {
    rmSync(folder, { recursive: true, force: true })
  }
}

function taskOf({ options: { warmup, seconds, size } }: ServicePlace, by: CallBy, together: number, certificates: string, service?: string): CallsTask {
  return { kind: 'calls', warmup, seconds, by, together, size, certificates, service }
}

function flagsOf({ options: { profile } }: ServicePlace, name: string): string[] {
  return profile === undefined ? [] : ['--cpu-prof', `--cpu-prof-dir=${profile}`, `--cpu-prof-name=${name}.cpuprofile`]
}

function figures(observed: Observed): Found {
  return { ...common(observed), callerCpu: (observed.seen.cpu / observed.seen.count) * 1e6 }
}

function direct(place: ServicePlace, by: CallBy, together: number): Promise<Found> {
  const { pinning } = place
  return withCertificates(by, async (certificates) => {
    const stated = JSON.stringify({ certificates, transport: by === 'erps-tcp' ? 'tcp' : 'tls' } satisfies AnswererOptions)
    await using server = await startServer(SERVERS[by], pinning?.server, flagsOf(place, `${by}-${together}-server`), '/proc', [stated])
    return figures(await observe(server, taskOf(place, by, together, certificates), pinning, flagsOf(place, `${by}-${together}-client`)))
  })
}

function throughHub(place: ServicePlace, by: CallBy, together: number): Promise<Found> {
  const { pinning } = place
  return withCertificates('hub', (certificates) => {
    const file = (name: string): string => join(certificates, name)
    const more = { servicePort: 0, serviceHost: '127.0.0.1', serviceCacertfile: file('ca.pem'), serviceCertfile: file('hub.pem'), serviceKeyfile: file('hub.key') }
    return withHub(place, 'none', async (hub) => {
      const stated = JSON.stringify({ certificates, port: hub.services, service: SERVICE, slots: together } satisfies WorkerOptions)
      await using worker = await startServer('service-worker.ts', pinning?.load, flagsOf(place, `hub-${by}-${together}-worker`), '/proc', [stated])
      const looks: number[] = []
      const called: Pick<MeasuredServer, 'port' | 'usage'> = {
        port: by === 'http' ? hub.port : hub.services,
        async usage() {
          looks.push((await worker.usage()).cpu)
          return hub.usage()
        },
      }
      const observed = await observe(called, taskOf(place, by, together, certificates, SERVICE), pinning, flagsOf(place, `hub-${by}-${together}-client`))
      const [before = NaN, after = NaN] = looks
      const { seen: { count, seconds }, loads: { elsewhere } } = observed
      const workerLoad = (after - before) / seconds
      return { ...figures(observed), workerCpu: ((after - before) / count) * 1e6, workerLoad, elsewhere: Math.max(0, elsewhere - workerLoad) }
    }, more)
  })
}

/** All rows of what was asked for, in the order of the tables. */
export function rowsOf({ only, concurrent, pipelined }: ServiceOptions): ServiceRow[] {
  const rows = [...new Set([1, concurrent, pipelined])].flatMap((together): ServiceRow[] => {
    const underWay = { 'under way': together }
    return [
      ...(['erps-tcp', 'erps-tls', 'grpc', 'http'] as const).map((by): ServiceRow => (
        { scenario: 'direct', of: { ...underWay, by: NAMES[by] }, measure: (place) => direct(place, by, together) })),
      { scenario: 'hub', of: { ...underWay, by: 'Erps, TLS' }, measure: (place) => throughHub(place, 'erps-tls', together) },
      { scenario: 'hub', of: { ...underWay, by: 'POST, TCP' }, measure: (place) => throughHub(place, 'http', together) },
    ]
  })
  return rows.filter(({ scenario }) => only.includes(scenario))
}
