import { createServer, type Config } from '../src/index.ts'
import { listening } from './child.ts'

/* Waystation with its defaults, but for what the bench states as JSON: where its data is, and how the two directions are proved. */
const stated = JSON.parse(process.argv[2] ?? '{}') as Config
const server = createServer({ addr: '127.0.0.1:0', logLevel: 'error', allowPrivate: true, ...stated })
await server.listen()
listening(Number(new URL(server.url).port), server.servicePort)
