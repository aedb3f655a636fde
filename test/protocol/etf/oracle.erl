%% Erlang's own encoding, behind a pipe. Messages both ways have four bytes of length before them.
%%   <<1, (length, term)*>>     terms: each is read and written again, and what Erlang writes is answered
%%   <<2, Seed:32, Count:32>>   terms that Erlang draws are answered, written
%%   <<3, (length, term, length, term)*>>   pairs: a byte for each, 1 where both are the same term
%% What cannot be read is answered with no bytes.
-module(oracle).
-export([main/0]).

main() ->
    Port = open_port({fd, 0, 1}, [binary, {packet, 4}, eof]),
    loop(Port).

loop(Port) ->
    receive
        {Port, {data, Data}} ->
            true = port_command(Port, answer(Data)),
            loop(Port);
        {Port, eof} -> halt(0)
    end.

answer(<<1, Terms/binary>>) -> [again(Each) || <<Size:32, Each:Size/binary>> <= Terms];
answer(<<2, Seed:32, Count:32>>) ->
    rand:seed(exsss, {Seed, Seed, Seed}),
    [framed(written(draw(3))) || _ <- lists:seq(1, Count)];
answer(<<3, Pairs/binary>>) ->
    [same(One, Other) || <<S:32, One:S/binary, T:32, Other:T/binary>> <= Pairs].

again(Bytes) ->
    try framed(written(binary_to_term(Bytes))) catch error:badarg -> <<0:32>> end.

same(One, Other) ->
    try binary_to_term(One) =:= binary_to_term(Other) of true -> 1; false -> 0 catch error:badarg -> 2 end.

written(Term) -> term_to_binary(Term, [{minor_version, 2}]).

framed(Bytes) -> [<<(byte_size(Bytes)):32>>, Bytes].

draw(0) -> leaf(rand:uniform(9));
draw(Depth) ->
    case rand:uniform(16) of
        1 -> list_to_tuple(many(Depth));
        2 -> many(Depth);
        3 -> [draw(Depth - 1) | leaf(rand:uniform(9))];
        4 -> maps:from_list([{draw(Depth - 1), draw(Depth - 1)} || _ <- lists:seq(1, rand:uniform(5) - 1)]);
        5 -> maps:from_list([{N, draw(0)} || N <- lists:seq(1, rand:uniform(40))]);
        6 -> [{leaf(5), draw(Depth - 1)} || _ <- lists:seq(1, rand:uniform(4))];
        7 -> [rand:uniform(256) - 1 || _ <- lists:seq(1, rand:uniform(20))];
        _ -> leaf(rand:uniform(9))
    end.

many(Depth) -> [draw(Depth - 1) || _ <- lists:seq(1, rand:uniform(5) - 1)].

leaf(1) -> rand:uniform(300) - 20;
leaf(2) -> rand:uniform(1 bsl rand:uniform(70)) - (1 bsl rand:uniform(69));
leaf(3) -> (rand:uniform(1 bsl rand:uniform(2200)) bsl rand:uniform(40)) * (2 * rand:uniform(2) - 3);
leaf(4) -> float(rand:uniform(40) - 20);
leaf(5) -> lists:nth(rand:uniform(8), [true, false, nil, ok, '', 'hello world', 'é', '日本']);
leaf(6) -> rand:bytes(rand:uniform(20) - 1);
leaf(7) -> Bits = rand:uniform(100), <<Some:Bits/bitstring, _/bitstring>> = rand:bytes(13), Some;
leaf(8) -> case rand:uniform(2) of 1 -> self(); 2 -> make_ref() end;
leaf(9) ->
    <<Float/binary>> = rand:bytes(8),
    try binary_to_term(<<131, 70, Float/binary>>) catch error:badarg -> 0.5 end.
