import { spawnSync } from 'node:child_process'
import { readFileSync } from 'node:fs'
import { cpus, release, totalmem, type } from 'node:os'

/** Cores for server and load, when there are two and the system can hold a process to one. */
export interface Pinning {
  readonly server: number
  readonly load: number
}

/** @returns the two cores, or in words why nothing is pinned */
export function pinning(): Pinning | string {
  const allowed = allowedCores()
  const server = allowed[0]
  const siblings = numbers(read(`/sys/devices/system/cpu/cpu${server}/topology/thread_siblings_list`) ?? '')
  // Two threads of one core share its parts: another core, where there is one.
  const load = allowed.find((core) => core !== server && !siblings.includes(core)) ?? allowed[1]
  if (server === undefined || load === undefined) return 'there is only one CPU'
  if (spawnSync('taskset', ['-c', String(load), 'true']).status !== 0) return 'there is no taskset here'
  return { server, load }
}

function allowedCores(): number[] {
  const list = /^Cpus_allowed_list:\s*(\S+)/m.exec(read('/proc/self/status') ?? '')?.[1]
  return list === undefined ? cpus().map((_, core) => core) : numbers(list)
}

/** `0-2,5` as 0, 1, 2, 5. */
function numbers(list: string): number[] {
  return list.trim().split(',').filter((part) => part !== '').flatMap((part) => {
    const [first = 0, last = first] = part.split('-').map(Number)
    return Array.from({ length: last - first + 1 }, (_, i) => first + i)
  })
}

/** Open files that one process may have; Node raises its own limit to the hard one. Infinity where there is none. */
export function openFiles(): number {
  const report = process.report.getReport() as { userLimits?: { open_files?: { soft: number | string } } }
  const limit = Number(report.userLimits?.open_files?.soft ?? Infinity)
  return Number.isFinite(limit) ? limit : Infinity
}

/** CPU seconds that all cores together have worked since the start of the system. */
export function busySeconds(): number {
  return cpus().reduce((sum, { times }) => sum + times.user + times.nice + times.sys + times.irq, 0) / 1000
}

export function describeMachine(): { cpu: string; cores: number; memoryMiB: number; system: string } {
  return {
    cpu: cpus()[0]?.model.trim() ?? 'unknown',
    cores: cpus().length,
    memoryMiB: Math.round(totalmem() / 2 ** 20),
    system: `${type()} ${release()}`,
  }
}

export function versions(): Record<string, string> {
  const of = (file: string): string => (JSON.parse(readFileSync(new URL(file, import.meta.url), 'utf8')) as { version: string }).version
  return { waystation: of('../package.json'), node: process.version, v8: process.versions.v8, ws: of('../node_modules/ws/package.json'), grpc: of('../node_modules/@grpc/grpc-js/package.json'), socketIo: of('../node_modules/socket.io/package.json') }
}

export function read(path: string): string | undefined {
  try {
    return readFileSync(path, 'utf8')
  } catch {
    return undefined
  }
}
