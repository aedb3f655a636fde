%% A server of the reference (erps.md, sections 4.1, 6.2, 8 and 10.2), and the service that it offers: see `answer` and `take`.
-module(erps_peer_server).
-behaviour(gen_server).
-export([init/1, handle_call/3, handle_cast/2, handle_info/2, terminate/2]).
-import(erps_peer, [say/1, text/1, digest/1]).

-define(HANDSHAKE_LIMIT, 200).
-define(READ_WAIT, 100).

%% Options: `tls`, `identifier`, `versions`, `safe`.
init({Name, Number, Options}) ->
    {ok, #{name => Name, number => Number, options => Options, socket => nil, kept => nil}}.

handle_call({'$allow', Raw}, _, #{name := Name, number := Number, options := Options} = State) ->
    case handshake(Raw, Options) of
        {ok, Socket} ->
            say([accepted, Name, Number]),
            again(State),
            {reply, ok, State#{socket := Socket}};
        {error, Reason} ->
            gen_tcp:close(Raw),
            say([refused, Name, Number, text(Reason)]),
            {stop, Reason, {error, Reason}, State}
    end;
handle_call({'$push', Term}, _, State) ->
    {reply, send(push, Term, State), State};
handle_call({'$send', List, Gap}, _, #{socket := {Module, Socket}} = State) ->
    {reply, [begin Module:send(Socket, Bytes), timer:sleep(Gap) end || Bytes <- List], State};
handle_call(Request, From, State) ->
    answer(Request, From, State).

handle_cast('$disconnect', State) -> {stop, normal, State};
handle_cast(Request, State) -> take(Request, State).

handshake(Raw, #{tls := Tls}) ->
    case ssl:handshake(Raw, Tls ++ [{verify, verify_peer}, {fail_if_no_peer_cert, true}], ?HANDSHAKE_LIMIT) of
        {ok, Socket} -> {ok, {ssl, Socket}};
        Error -> Error
    end;
handshake(Raw, _) ->
    {ok, {gen_tcp, Raw}}.

%% An answer of whoever answers a call from the network later.
handle_info({{'$remote_reply', _, Ref}, Answer}, State) ->
    send(reply, {Answer, Ref}, State),
    {noreply, State};
handle_info('$recv', #{name := Name, number := Number, options := Options, socket := Socket} = State) ->
    case erps_peer_wire:read(Socket, ?READ_WAIT, Options) of
        {error, timeout} ->
            again(State),
            {noreply, State};
        {error, Reason} when Reason =:= closed; Reason =:= enotconn ->
            {stop, disconnected, State};
        {error, Reason} ->
            {stop, Reason, State};
        {late, Bytes} ->
            say([late, Name, Number, Bytes]),
            again(State),
            {noreply, State};
        {junk, Bytes} ->
            say([junk, Name, Number, Bytes]),
            {stop, einval, State};
        {refused, Text} ->
            % And deaf from now on.
            say([deaf, Name, Number, Text]),
            send(error, Text, State),
            {noreply, State};
        keepalive ->
            say([got, Name, Number, keepalive]),
            again(State),
            {noreply, State};
        {ok, Type, Term, #{behind := Behind, version := Version, identifier := Identifier}} ->
            say([got, Name, Number, Type, text(Term), digest(Term), Behind, text(Version), Identifier]),
            took(Type, Term, State)
    end.

%% Behind whatever else waits.
again(_) -> self() ! '$recv'.

took(keepalive, _, State) ->
    again(State),
    {noreply, State};
took(call, {Ref, Request}, #{socket := Socket} = State) ->
    case answer(Request, {self(), {'$remote_reply', Socket, Ref}}, State) of
        {reply, Answer, Next} ->
            send(reply, {Answer, Ref}, Next),
            again(Next),
            {noreply, Next};
        {noreply, Next} ->
            again(Next),
            {noreply, Next};
        {stop, Reason, Answer, Next} ->
            send(reply, {Answer, Ref}, Next),
            {stop, Reason, Next};
        Stop ->
            Stop
    end;
took(cast, Request, State) ->
    Result = take(Request, State),
    again(State),
    Result.

answer(ping, _, State) -> {reply, pong, State};
answer({echo, Term}, _, State) -> {reply, Term, State};
answer({send, _}, _, State) -> {reply, ok, State};
answer(state, _, #{kept := Kept} = State) -> {reply, Kept, State};
answer(is_remote, {_, {'$remote_reply', _, _}}, State) -> {reply, true, State};
answer(is_remote, _, State) -> {reply, false, State};
answer({busy, Ms, Answer}, _, State) -> timer:sleep(Ms), {reply, Answer, State};
answer({hold, Key}, From, #{name := Name} = State) -> erps_peer:hold(Name, Key, From), {noreply, State};
answer({stop_reply, Answer}, _, State) -> {stop, normal, Answer, State};
answer(stop, _, State) -> {stop, normal, State}.

take({put, Term}, State) -> {noreply, State#{kept := Term}};
take({push, Term}, State) -> send(push, Term, State), {noreply, State};
take({busy, Ms}, State) -> timer:sleep(Ms), {noreply, State};
take(stop, State) -> {stop, normal, State};
take(crash, _) -> error(crash);
take(_, State) -> {noreply, State}.

%% Servers say neither version nor identifier (section 2.4), and do not compress. What is sent to nobody is no error.
send(Type, Term, #{socket := {Module, Socket}}) ->
    _ = Module:send(Socket, erps_peer_wire:packet(Type, Term, #{})),
    ok.

terminate(_, #{socket := {Module, Socket}}) -> Module:close(Socket);
terminate(_, _) -> ok.
