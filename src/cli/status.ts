import { WaystationError } from '../core/errors.ts'
import type { Status } from '../server/control-messages.ts'
import type { Command } from './command.ts'
import { findHub, type Found } from './find-hub.ts'
import { parseFlags } from './flags.ts'
import { FIND_FLAGS, findPlaces } from './places.ts'
import { printable } from './printable.ts'

/** What the Linux Standard Base wants of an init script. */
const EXIT = { running: 0, gone: 3, silent: 4 } as const satisfies Record<Found['state'], number>

export const status: Command = {
  name: 'status',
  usage: '[--data-dir DIR] [--json]',
  summary: 'Says whether the hub of a data folder runs: exit status 0 when it does, 3 when not, 4 when it does not answer.',
  flags: { ...FIND_FLAGS, json: { help: 'one JSON object' } },
  takesOptions: false,
  async run(args, io) {
    const { own, positionals } = parseFlags(args, this.flags)
    if (positionals.length > 0) throw new WaystationError('bad_request', `"${positionals[0]}" is no option; options begin with --`)
    const places = await findPlaces(own, io)
    const found = await findHub(places)
    io.out.write(own['json'] === true ? `${JSON.stringify(asJson(found))}\n` : asText(found, places.folder))
    return EXIT[found.state]
  },
}

function asText(found: Found, folder: string): string {
  switch (found.state) {
    case 'gone': return `no hub runs on ${folder}${found.left === undefined ? '' : ` (a pid file was left, with ${found.left})`}\n`
    case 'silent': return `running${found.pid === undefined ? '' : `, pid ${found.pid}`}, but it does not answer\n`
    case 'running': {
      const { stopping, pid, address, version, since, database, connections, links = [], services = [] } = found.status
      const each = Object.entries(connections).map(([transport, count]) => `${count} ${transport}`).join(', ')
      return [
        `${stopping ? 'stopping' : 'running'}, pid ${pid}, since ${since}`,
        `  address:      ${address ?? 'none yet'}`,
        `  version:      ${version}`,
        `  connections:  ${total(connections)}${each === '' ? '' : ` (${each})`}`,
        `  database:     ${database}`,
        ...links.map(({ name, state, why }) => printable(`  link:         ${name} ${state}${why === undefined ? '' : `: ${why}`}`)),
        ...services.map(({ name, workers, running, waiting, down = [] }) => printable(`  service:      ${name}, ${workers} ${workers === 1 ? 'worker' : 'workers'}, ${running} calls running, ${waiting} waiting${down.map((one) => `; down: ${one}`).join('')}`)),
        '',
      ].join('\n')
    }
  }
}

function asJson(found: Found): object {
  switch (found.state) {
    case 'gone': return { running: false }
    case 'silent': return { running: true, answering: false, pid: found.pid ?? null }
    case 'running': {
      const { type: _, pidSpace: _space, connections, ...rest } = found.status
      return { running: true, answering: true, ...rest, connections: total(connections), connectionsByTransport: connections }
    }
  }
}

/** Connections of all transports. */
export function total(connections: Status['connections']): number {
  return Object.values(connections).reduce((sum, count) => sum + count, 0)
}
