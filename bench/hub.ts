import { createServer } from '../src/index.ts'
import { listening } from './child.ts'

/* Waystation with its defaults, as `waystation serve` starts it. */
const server = createServer({ addr: '127.0.0.1:0', logLevel: 'error' })
await server.listen()
listening(Number(new URL(server.url).port))
