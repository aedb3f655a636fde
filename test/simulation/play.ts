import type { Cursor } from '../../src/core/cursor.ts'
import { createChance, type Chance } from './chance.ts'
import type { Client, World } from './world.ts'

/** Lets every promise that can go on go on, as the event loop does between two events. */
function breathe(): Promise<void> {
  return new Promise((resolve) => setImmediate(resolve))
}

/** What happens in a world, from its first turn until everyone has left; drawn from the seed. */
export async function play(world: World, seed: number): Promise<void> {
  const chance = createChance(seed, 'play')
  for (let turn = 0; turn < world.plan.turns; turn++) {
    for (let events = chance.int(0, 6); events > 0; events--) {
      happen(world, chance)
      await breathe()
    }
    await endTurn(world, chance.odds(0.1) ? chance.int(50, 2_000) : chance.int(0, 20))
    for (const client of world.clients) await readOn(world, client, chance)
  }
  await rest(world)
  // Whoever is still connected must still be on the live stream, so everyone gets to hear once more.
  for (const topic of world.plan.topics) world.publish(topic, 8)
  await rest(world)
}

/** Everyone goes; what is left behind can be looked at. */
export async function leaveAll(world: World): Promise<void> {
  for (const client of world.clients) if (client.connection !== undefined) world.leave(client)
  await rest(world)
}

async function endTurn(world: World, ms: number): Promise<void> {
  const { clock } = world
  for (const fn of clock.turnEnd()) {
    world.tick()
    fn()
    await breathe()
  }
  const until = clock.monotonic() + ms
  for (let fn = clock.due(until); fn !== undefined; fn = clock.due(until)) {
    world.tick()
    fn()
    await breathe()
  }
}

async function readOn(world: World, client: Client, chance: Chance): Promise<void> {
  const { connection, temper } = client
  if (temper.kind === 'moody' && chance.odds(0.15)) client.stalled = !client.stalled
  if (connection === undefined || temper.kind === 'quick' || client.stalled) return
  if (connection.pendingBytes === 0) return
  world.take(client, chance.int(0, temper.bytes * 2))
  await breathe()
}

const MOST_ROUNDS = 1_000

/** Nothing new, and everyone reads: until nothing moves any more. */
async function rest(world: World): Promise<void> {
  for (let quiet = 0, rounds = 0; quiet < 3; rounds++) {
    if (rounds === MOST_ROUNDS) return void world.breaches.push({ promise: 'nothing goes on for ever', detail: `the world is not at rest after ${rounds} rounds`, about: [], step: Infinity })
    await breathe()
    quiet = world.clock.owed > 0 || world.clients.some(({ connection }) => (connection?.pendingBytes ?? 0) > 0) ? 0 : quiet + 1
    await endTurn(world, 50)
    for (const client of world.clients) if (client.connection !== undefined) world.take(client, Infinity)
  }
}

function happen(world: World, chance: Chance): void {
  const draw = chance.next()
  const client = chance.pick(world.clients)
  if (chance.odds(world.plan.restartOdds)) world.restart(chance.pick(['stop', 'crash']))
  else if (world.plan.lossOdds > 0 && chance.odds(world.plan.lossOdds)) loseSome(world, chance)
  else if (draw < 0.55) publishSome(world, chance)
  else if (draw < 0.9 && client.connection === undefined) comeBack(world, client, chance)
  else if (draw < 0.97 && client.connection !== undefined && chance.odds(draw < 0.9 ? 0.15 : 1)) world.leave(client)
  else if (draw > 0.97) world.site.sweep()
}

function publishSome({ plan, publish }: World, chance: Chance): void {
  const { usual, large, largeOdds } = plan.body
  const topic = chance.pick(plan.topics)
  for (let burst = chance.odds(0.3) ? chance.int(2, 12) : 1; burst > 0; burst--) {
    publish(chance.odds(0.5) ? topic : chance.pick(plan.topics), chance.odds(largeOdds) ? chance.int(1, large) : chance.int(1, usual))
  }
}

/** Once, or as a link does that comes and goes. */
function loseSome({ plan, lose }: World, chance: Chance): void {
  const lost = chance.pick(plan.losses)
  for (let times = chance.odds(0.2) ? chance.int(2, 30) : 1; times > 0; times--) lose(lost)
}

function comeBack(world: World, client: Client, chance: Chance): void {
  if (chance.odds(0.2)) client.interest = chance.pick(world.plan.interests)
  world.connect(client, drawCursor(world, client, chance))
  // In the same breath, as a program may that has the hub in its own process.
  if (chance.odds(0.2)) publishSome(world, chance)
}

/** The client's own, most of the time; else an early one, one of the future, one of another log. */
function drawCursor(world: World, client: Client, chance: Chance): Cursor | undefined {
  const { epoch, offset } = world.site.hub.cursor
  const draw = chance.next()
  if (draw < 0.25) return undefined
  if (draw < 0.65) return client.cursor
  if (draw < 0.78) return { epoch, offset: chance.int(Math.max(0, offset - 10), offset) }
  if (draw < 0.9) return { epoch, offset: chance.int(0, offset) }
  if (draw < 0.95) return { epoch, offset: offset + chance.int(1, 20) }
  return { epoch: 'elsewhere', offset: chance.int(0, offset + 5) }
}
