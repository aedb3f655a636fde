import { readFileSync } from 'node:fs'
import { join } from 'node:path'
import { Server, ServerCredentials, type sendUnaryData, type ServerUnaryCall } from '@grpc/grpc-js'
import { listening } from '../child.ts'
import { GRPC_METHOD } from '../load/grpc-caller.ts'
import type { AnswererOptions } from '../service-answerer.ts'

/* A unary method of gRPC that echoes bytes, over mutual TLS. */
const { certificates } = JSON.parse(process.argv[2] as string) as AnswererOptions
const file = (name: string): Buffer => readFileSync(join(certificates, name))
const same = (bytes: Buffer): Buffer => bytes
const server = new Server()
server.addService({
  echo: { path: GRPC_METHOD, requestStream: false, responseStream: false, requestSerialize: same, requestDeserialize: same, responseSerialize: same, responseDeserialize: same },
}, { echo: (call: ServerUnaryCall<Buffer, Buffer>, answer: sendUnaryData<Buffer>) => answer(null, call.request) })
const credentials = ServerCredentials.createSsl(file('ca.pem'), [{ cert_chain: file('hub.pem'), private_key: file('hub.key') }], true)
server.bindAsync('127.0.0.1:0', credentials, (error, port) => {
  if (error !== null) throw error
  listening(port)
})
