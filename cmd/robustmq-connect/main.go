package main

import (
	"context"

	_ "github.com/eclipse/paho.mqtt.golang"
	_ "github.com/mochi-mqtt/server/v2"
	"github.com/redpanda-data/benthos/v4/public/service"
	_ "github.com/stretchr/testify/require"
	_ "github.com/twmb/franz-go/pkg/kadm"
	_ "github.com/twmb/franz-go/pkg/kfake"
	_ "github.com/twmb/franz-go/pkg/kgo"
	_ "github.com/urfave/cli/v2"
	_ "gopkg.in/yaml.v3"
)

func main() { service.RunCLI(context.Background()) }
